"""What the subjects are about: keys, tokens, and a guard that knows a thousand cutoffs."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Final, final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from watchword import Guard, Issuer, Key, Position, Verifier
from watchword.core.compact import split_token
from watchword.core.encoding import b64url_decode
from watchword.core.feed import Page, PageEntry, PageKey, fold
from watchword.guard.source import Known, boot_clock

ISSUER: Final = "https://auth.example"
AUDIENCE: Final = "orders"
EPOCH: Final = "Q2r8wT0a"
HEAD: Final = 41_729
CUTOFFS: Final = 1000
_POSITION: Final = Position(EPOCH, HEAD)
_LIFETIME: Final = timedelta(hours=1)
POOL: Final = 256
"""Tokens in a batch. All differ, as those of different callers do."""

ALGORITHMS: Final = (("RS256", 2048), ("RS256", 3072), ("ES256", None), ("Ed25519", None))


@cache
def key(algorithm: str, bits: int | None) -> Key:
    """A key, the same for the whole run."""
    return Key.generate(algorithm, bits=bits)


def content(number: int) -> dict[str, Any]:
    """What the authority puts into an access token: every claim of RFC 9068, two roles, a session and a position."""
    return {
        "subject": f"u-{number:08}",
        "audience": AUDIENCE,
        "client": "web",
        "roles": ["editor", "reader"],
        "session": f"s-{number:016x}",
        "position": _POSITION,
        "lifetime": _LIFETIME,
    }


def mint(issuer: Issuer, number: int) -> str:
    """An access token as the authority makes it."""
    return issuer.mint(**content(number))


@cache
def tokens(algorithm: str, bits: int | None, count: int = POOL) -> tuple[str, ...]:
    """That many different tokens of one key."""
    issuer = Issuer(ISSUER, key(algorithm, bits))
    return tuple(mint(issuer, number) for number in range(count))


def verifier(signer: Key, **settings: Any) -> Verifier:
    """A verifier with all its rules, as it comes."""
    return Verifier(ISSUER, AUDIENCE, signer.public, **settings)


def snapshot(signer: Key, cutoffs: int) -> Page:
    """What the feed says first: one key, and so many living cutoffs, all younger than our tokens."""
    keys, head = [PageKey(signer.kid, "current", signer.public.to_jwk())], HEAD + cutoffs
    return Page(ISSUER, "i1", EPOCH, None, head, head, 1, entries(HEAD, head), keys, "c")


def entries(after: int, number: int) -> list[PageEntry]:
    """The log from after one number to another: cutoffs of three scopes, for nobody that we know."""
    return [
        PageEntry(each, ("user", "session", "token")[each % 3], f"gone-{each}", "token_revoked")
        for each in range(after + 1, number + 1)
    ]


@final
class Feed:
    """A source that followed an authority until now: one key, and cutoffs, none of them for our callers."""

    last_error: str | None = None

    def __init__(self, signer: Key, *, cutoffs: int = CUTOFFS) -> None:
        self.known = Known(fold(None, snapshot(signer, cutoffs)), boot_clock())

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def clock(self) -> float:
        """The clock that a real follower has."""
        return boot_clock()

    def wake(self) -> None:
        """No news will come."""

    def wait(self, timeout: float) -> bool:  # noqa: ARG002 - the protocol's
        """Always there."""
        return True


def guard(signer: Key, *, feed: Feed | None = None, **settings: Any) -> Guard:
    """A guard on a feed, as a service has it; its knowledge may be as old as the bench is long."""
    roles = {"editor": ["orders:read", "orders:write"], "admin": ["orders:*"]}
    inherits = {"admin": ["editor"]}
    allowed = timedelta(hours=1)
    return Guard(
        ISSUER,
        audience=AUDIENCE,
        source=feed or Feed(signer),
        roles=roles,
        inherits=inherits,
        max_staleness=allowed,
        **settings,
    )


def bare_verify(signer: Key, texts: Sequence[str]) -> tuple[Callable[..., object], list[Sequence[object]]]:
    """The primitive's verification with a prepared key, and its arguments for these tokens, decoded beforehand."""
    public = signer.public._key
    parts = [split_token(text.encode()) for text in texts]
    data, proofs = [part[0] for part in parts], [b64url_decode(part[3]) for part in parts]
    if isinstance(public, rsa.RSAPublicKey):
        count = len(texts)
        return public.verify, [proofs, data, [padding.PKCS1v15()] * count, [hashes.SHA256()] * count]
    if isinstance(public, ec.EllipticCurvePublicKey):
        ders = [
            encode_dss_signature(int.from_bytes(proof[:32], "big"), int.from_bytes(proof[32:], "big"))
            for proof in proofs
        ]
        return public.verify, [ders, data, [ec.ECDSA(hashes.SHA256())] * len(texts)]
    return public.verify, [proofs, data]


def bare_sign(signer: Key, texts: Sequence[str]) -> tuple[Callable[..., object], list[Sequence[object]]]:
    """The primitive's signature with a prepared key, and its arguments for these tokens."""
    private = signer._key
    data = [text.rpartition(".")[0].encode() for text in texts]
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign, [data, [padding.PKCS1v15()] * len(data), [hashes.SHA256()] * len(data)]
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign, [data, [ec.ECDSA(hashes.SHA256())] * len(data)]
    return private.sign, [data]
