"""The first sight of a token: ours and other libraries, against the bare primitive with a prepared key."""

from typing import Final

from bench import world
from bench.measure import Work, each, fresh, interleave
from bench.table import Row, Section
from bench.workers import Worker

_GOALS: Final = {"RS256": 1.25, "ES256": 1.12, "Ed25519": 1.07}
_OURS: Final = ("Verifier.verify", "Guard.verify")
_FASTER: Final = (("PyJWT 2.15", 2.5), ("PyJWT 2.10", 1.35), ("joserfc", 1.7), ("webtoken", 1.15))
_USE: Final = {"key": "", "pem": ", the key as PEM text", "jwks client": ", JWKS client"}


def measure(peers: dict[str, Worker]) -> list[Section]:
    """One section an algorithm; RS256 with 2048 bits has the peers."""
    sections = [_against_peers(peers)]
    for algorithm, bits in world.ALGORITHMS[1:]:
        name = algorithm if bits is None else f"{algorithm}-{bits}"
        samples = interleave(ours(algorithm, bits))
        rows = [Row(f"bare primitive, {name}", samples.cost("bare"), "µs")]
        rows += [Row(f"{what}, {name}", samples.ratio(what, "bare"), "x", _GOALS[algorithm]) for what in _OURS]
        sections.append(Section(f"verify-{name}", f"First sight of a token, {name}, against the bare primitive", rows))
    return sections


def ours(algorithm: str, bits: int | None) -> dict[str, Work]:
    """The bare primitive, a verifier, and a guard that has seen none of the tokens."""
    signer, tokens = world.key(algorithm, bits), world.tokens(algorithm, bits)
    primitive, columns = world.bare_verify(signer, tokens)
    return {
        "bare": each(primitive, *columns),
        "Verifier.verify": each(world.verifier(signer).verify, tokens),
        "Guard.verify": fresh(lambda: world.guard(signer).verify, tokens),
    }


def _against_peers(peers: dict[str, Worker]) -> Section:
    subjects = ours("RS256", 2048)
    for name, worker in peers.items():
        subjects |= {f"{name} {use}": worker.work(use) for use in worker.started.variants if use != "cache"}
    samples = interleave(subjects)
    rows = [Row("bare primitive, RS256-2048", samples.cost("bare"), "µs")]
    rows += [Row(f"{what}, RS256-2048", samples.ratio(what, "bare"), "x", _GOALS["RS256"]) for what in _OURS]
    others = [
        Row(f"{name}{_USE[variant]}", samples.ratio(f"{name} {variant}", "bare"), "x")
        for name, worker in peers.items()
        for variant in worker.started.variants
        if variant not in ("bare", "cache")
    ]
    others.sort(key=lambda row: row.figure.median)
    for name, worker in peers.items():
        if "bare" in worker.started.variants:
            ratio = samples.ratio(f"{name} key", f"{name} bare")
            others.append(Row(f"{name} against Node's own primitive", ratio, "x"))
    for name, goal in _FASTER:
        ratio = samples.ratio(f"{name} key", "Verifier.verify")
        others.append(Row(f"Verifier.verify is faster than {name}", ratio, "times", goal))
    return Section("verify-RS256-2048", "First sight of a token, RS256-2048, against the bare primitive", rows + others)
