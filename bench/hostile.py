"""Hostile traffic: what refusing costs against one verification, and whether it drives anything out of the cache."""

import random
from collections.abc import Callable
from typing import Final

from bench import world
from bench.measure import Figure, each, interleave
from bench.table import Row, Section
from watchword import Guard, Refused
from watchword.core.algorithms import Verify
from watchword.core.encoding import b64url_encode, json_encode

_JUNK: Final = 8 * 1024
_FLOOD: Final = 100_000
_IN_USE: Final = 1000


def measure() -> list[Section]:
    """A row for each kind of junk, then the flood."""
    signer, tokens = world.key("RS256", 2048), world.tokens("RS256", 2048)
    primitive, columns = world.bare_verify(signer, tokens)
    guard = world.guard(signer)
    for token in tokens[:10] * 3:
        guard.verify(token)
    kinds = _kinds(tokens)
    subjects = {"bare": each(primitive, *columns), "good": each(world.verifier(signer).verify, tokens)}
    subjects |= {kind: each(_refused(guard), items) for kind, items in kinds.items()}
    samples = interleave(subjects, rounds=31)
    rows = [Row("a good token at first sight", samples.ratio("good", "bare"), "x")]
    rows += [Row(kind, samples.ratio(kind, "good"), "x", 1.0) for kind in kinds]
    return [
        Section("hostile", "Refusing hostile traffic, against the verification of one good token", rows),
        Section("flood", f"{_FLOOD} hostile items against {_IN_USE} tokens in use", _flood(kinds)),
    ]


def _kinds(tokens: tuple[str, ...]) -> dict[str, list[str]]:
    rng = random.Random(1)
    junk = [b64url_encode(rng.randbytes(_JUNK))[:_JUNK] for _ in tokens]
    parts = [token.split(".") for token in tokens]
    return {
        "a random text": [b64url_encode(rng.randbytes(500)) for _ in tokens],
        "three random segments": [
            ".".join(b64url_encode(rng.randbytes(size)) for size in (90, 210, 255)) for _ in tokens
        ],
        "a good token with another signature": [
            f"{header}.{payload}.{b64url_encode(rng.randbytes(256))}" for header, payload, _ in parts
        ],
        "a good token with another payload": [
            f"{header}.{b64url_encode(rng.randbytes(210))}.{signature}" for header, _, signature in parts
        ],
        "a key that nobody has": [
            f"{_segment(alg='RS256', kid=rng.randbytes(8).hex(), typ='at+jwt')}.{payload}.{signature}"
            for _, payload, signature in parts
        ],
        "8 KiB of junk": junk,
        "8 KiB of junk as a header": [
            f"{text}.{payload}.{proof}" for text, (_, payload, proof) in zip(junk, parts, strict=True)
        ],
        "8 KiB of junk as a payload": [
            f"{head}.{text}.{proof}" for text, (head, _, proof) in zip(junk, parts, strict=True)
        ],
        "8 KiB of open brackets as a header": [
            f"{b64url_encode(b'[' * (_JUNK * 3 // 4))}.{payload}.{proof}" for _, payload, proof in parts
        ],
        "8 KiB of small objects as a header": [
            f"{b64url_encode(b'[' + b'{ },' * (_JUNK * 3 // 16 - 1) + b'{}]')}.{payload}.{proof}"
            for _, payload, proof in parts
        ],
        "8 KiB of members as a header": [
            f"{b64url_encode(_members(_JUNK * 3 // 4))}.{payload}.{proof}" for _, payload, proof in parts
        ],
        "8 KiB of dots": ["." * _JUNK for _ in tokens],
    }


def _members(size: int) -> bytes:
    text = ", ".join(f'"{number:x}": 1' for number in range(size // 10))
    return f'{{"alg": "RS256", "kid": "nobody", {text}}}'.encode()


def _segment(**members: str) -> str:
    return b64url_encode(json_encode(members))


def _refused(guard: Guard) -> Callable[[str], None]:
    def refused(token: str) -> None:
        try:
            guard.verify(token)
        except Refused:
            return
        raise AssertionError("junk was accepted")

    return refused


def _flood(kinds: dict[str, list[str]]) -> list[Row]:
    """Tokens in use, then a flood of junk and of good tokens that come once, then the tokens in use again."""
    signer = world.key("Ed25519", None)
    limit = 4 * _IN_USE
    verified = _counted(guard := world.guard(signer, max_cached=limit))
    crowd = world.tokens("Ed25519", None, _IN_USE + 5 * limit)
    in_use, passing = crowd[:_IN_USE], crowd[_IN_USE:]
    for token in in_use * 3:
        guard.verify(token)
    refused, every = _refused(guard), [item for items in kinds.values() for item in items]
    before = verified()
    for number in range(_FLOOD):
        refused(every[number % len(every)])
    for token in in_use:
        guard.verify(token)
    again = verified() - before
    for number, token in enumerate(passing):
        guard.verify(token)
        if number % _IN_USE == 0:  # in use: each is seen while a quarter of the cache comes new
            for used in in_use:
                guard.verify(used)
    return [
        Row("tokens in use that the junk drove out", Figure.exactly(again), "", 0),
        Row(
            f"tokens in use that {len(passing)} good ones, each seen once, drove out",
            Figure.exactly(verified() - before - again - len(passing)),
            "",
            0,
        ),
    ]


def _counted(guard: Guard) -> Callable[[], int]:
    """How many signatures the guard has found good so far."""
    found = 0
    known = guard._source.known
    assert known is not None
    for key in known.knowledge.keys:
        check = key.verify

        def counting(signature: bytes, data: bytes, check: Verify = check) -> bool:
            nonlocal found
            good = check(signature, data)
            found += good
            return good

        key.verify = counting
    return lambda: found
