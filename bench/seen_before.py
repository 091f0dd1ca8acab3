"""A token that was seen before: the guard's cache of verified tokens, every check but the signature made again."""

from collections.abc import Callable
from typing import Final

from bench import world
from bench.measure import each, interleave
from bench.table import Row, Section
from bench.workers import Worker
from watchword import Guard, Policy, role
from watchword.guard.decisions import Decision

_ROUNDS: Final = 61


def measure(peers: dict[str, Worker]) -> list[Section]:
    """Against the bare verification, PyJWT's verification, and fast-jwt's cache."""
    signer, tokens = world.key("RS256", 2048), world.tokens("RS256", 2048)
    primitive, columns = world.bare_verify(signer, tokens)
    warm = world.guard(signer)
    for _ in range(3):
        for token in tokens:
            warm.verify(token)
    headers = [f"Bearer {token}".encode() for token in tokens]
    subjects = {
        "bare": each(primitive, *columns),
        "Guard.verify": each(warm.verify, tokens),
        "one token": each(warm.verify, tokens[:1] * len(tokens)),
        "Guard.decide": each(_decides(warm), headers),
        "PyJWT 2.15": peers["PyJWT 2.15"].work("key"),
    }
    fast = peers.get("fast-jwt (Node)")
    if fast is not None:
        subjects["fast-jwt"] = fast.work("cache")
    samples = interleave(subjects, rounds=_ROUNDS)
    rows = [
        Row("Guard.verify, 256 tokens in turn", samples.cost("Guard.verify"), "µs"),
        Row("Guard.verify, one token", samples.cost("one token"), "µs"),
        Row("Guard.decide (header, cache, rule, audit), 256 tokens in turn", samples.cost("Guard.decide"), "µs"),
        Row("Guard.verify against the bare RS256-2048 verification", samples.ratio("Guard.verify", "bare"), "x", 0.04),
        Row("Guard.decide against the bare RS256-2048 verification", samples.ratio("Guard.decide", "bare"), "x"),
        Row("Guard.verify is faster than PyJWT 2.15", samples.ratio("PyJWT 2.15", "Guard.verify"), "times", 90),
    ]
    if fast is not None:
        rows += [
            Row("fast-jwt's cache", samples.cost("fast-jwt"), "µs"),
            Row(
                "Guard.verify is faster than fast-jwt's cache", samples.ratio("fast-jwt", "Guard.verify"), "times", 3.5
            ),
        ]
    return [Section("seen-before", "A token seen before", rows)]


def _decides(guard: Guard) -> Callable[[bytes], object]:
    rule = Policy(("GET", "/orders", role("editor"))).rule("GET", "/orders")
    return lambda header: guard.decide([header], rule, Decision("GET", "/orders"))
