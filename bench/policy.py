"""Rules and tables of paths: what a decision costs beside the token."""

from typing import Final

from bench import world
from bench.measure import each, interleave
from bench.table import Row, Section
from watchword import Policy, Rule, permission, role

_CALLS: Final = 1000
_SIZES: Final = (10, 1000)


def measure() -> list[Section]:
    """A rule of roles, and the last row of tables of two sizes."""
    guard = world.guard(world.key("RS256", 2048))
    caller = guard.verify(world.tokens("RS256", 2048)[0])
    callers = [caller] * _CALLS
    rules: dict[str, Rule] = {
        "role": role("editor"),
        "role and permission": role("editor") & permission("orders:write"),
        "three roles, the last fits": role("admin") | role("auditor") | role("editor"),
    }
    subjects = {name: each(rule.refusal, callers) for name, rule in rules.items()}
    for size in _SIZES:
        literal, parameter = _table(size, "/{}"), _table(size, "/{}/{{id}}")
        last = size - 1
        for what, policy, path in (
            ("literal", literal, f"/r{last}"),
            ("{id}", parameter, f"/r{last}/1729"),
            ("no row", literal, "/nowhere"),
        ):
            subjects[f"{what} {size}"] = each(policy.rule, ["GET"] * _CALLS, [path] * _CALLS)
    samples = interleave(subjects, rounds=31)
    rows = [Row(f"a rule: {name}", samples.cost(name), "µs", 0.5 if name == "role" else None) for name in rules]
    rows += [
        Row(f"a table of {size} rows, {told}", samples.cost(f"{what} {size}"), "µs", 3)
        for what, told in (("literal", "a literal path"), ("{id}", "a path with {id}"), ("no row", "no row fits"))
        for size in _SIZES
    ]
    return [Section("policy", "Rules, and tables of paths", rows)]


def _table(size: int, pattern: str) -> Policy:
    rule = role("editor")
    return Policy(*(("GET", pattern.format(f"r{number}"), rule) for number in range(size)))
