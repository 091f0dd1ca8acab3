"""Minting: the issuer against the bare signature with a prepared key."""

from typing import Final

from bench import world
from bench.measure import each, interleave
from bench.table import Row, Section
from watchword import Issuer

_GOALS: Final = {"RS256": 1.04, "ES256": 1.18, "Ed25519": 1.10}


def measure() -> list[Section]:
    """One row an algorithm."""
    rows = []
    for algorithm, bits in world.ALGORITHMS:
        signer, tokens = world.key(algorithm, bits), world.tokens(algorithm, bits)
        name = algorithm if bits is None else f"{algorithm}-{bits}"
        primitive, columns = world.bare_sign(signer, tokens)
        mint = Issuer(world.ISSUER, signer).mint
        contents = [world.content(number) for number in range(len(tokens))]
        subjects = {"bare": each(primitive, *columns), "mint": each(lambda content, m=mint: m(**content), contents)}
        samples = interleave(subjects, rounds=31)
        rows.append(Row(f"bare primitive, {name}", samples.cost("bare"), "µs"))
        rows.append(Row(f"Issuer.mint, {name}", samples.ratio("mint", "bare"), "x", _GOALS[algorithm]))
    return [Section("sign", "Signing, against the bare primitive", rows)]
