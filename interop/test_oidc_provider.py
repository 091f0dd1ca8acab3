"""oidc-provider as a foreign issuer: its tokens, its metadata, its keys as they come and go."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from examples.processes import eventually
from interop.provider import AUDIENCE, Provider

from watchword import Guard, Key, OtherIssuer, Refused
from watchword.core.compact import read_unverified
from watchword.guard.foreign_keys import ForeignKeys

SOON = 30.0  # seconds


class Service:
    """A guard for the provider's tokens, whose clock for keys the test moves."""

    def __init__(self, other: OtherIssuer) -> None:
        self.guard = Guard(audience="orders", others=[other])
        self.keys: ForeignKeys = self.guard._others._keys[0]
        self.now = 1000.0
        self.keys._clock = lambda: self.now

    def let_pass(self, seconds: float) -> None:
        """Move the clock, and have it looked at."""
        self.now += seconds
        self.guard._others._wake()

    def code(self, token: str) -> str:
        """What the guard says to a token."""
        try:
            self.guard.verify(token)
        except Refused as refusal:
            return refusal.code
        return "allowed"

    def says(self, token: str, code: str) -> bool:
        """Whether the guard says this soon."""
        return eventually(lambda: self.code(token) == code, SOON)


@contextmanager
def following(other: OtherIssuer) -> Iterator[Service]:
    """A guard that knows this issuer's keys."""
    made = Service(other)
    made.guard.start()
    assert eventually(lambda: made.guard.status().others[0].fresh, SOON)
    yield made
    made.guard.stop()


@pytest.fixture(scope="module")
def old() -> Key:
    """The provider's first key."""
    return Key.generate("RS256", bits=2048)


@pytest.fixture
def provider(tmp_path: Path, old: Key) -> Iterator[Provider]:
    """It runs with one key."""
    running = Provider(tmp_path, old)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def service(provider: Provider) -> Iterator[Service]:
    """A guard as a user would tell it of this provider."""
    other = OtherIssuer(
        provider.issuer,
        audience=AUDIENCE,
        roles={"order-manager": ["editor"], "staff": ["reader"]},
        roles_at=["realm_access.roles", ("https://partner.example/groups",)],
        scopes={"orders:write": ["orders"]},
    )
    with following(other) as made:
        yield made


def test_access_tokens(provider: Provider, service: Service) -> None:
    """A user's and a client's, by the metadata that it publishes."""
    ada = service.guard.verify(provider.of_ada()["access_token"])
    assert (ada.subject, ada.client, ada.issuer) == ("ada", "portal", provider.issuer)
    assert ada.roles == {"editor", "reader"}
    assert ada.scopes == {"orders"}
    assert ada.position is None
    own = service.guard.verify(provider.of_the_client())
    assert (own.subject, own.roles) == ("portal", frozenset())


@pytest.mark.parametrize(
    ("excused", "code"), [((), "invalid_claim"), (("client_id", "jti"), "wrong_audience")], ids=["", "excused"]
)
def test_id_tokens(provider: Provider, service: Service, excused: tuple[str, ...], code: str) -> None:
    """They are none, not even where their type is taken: they name no client, and no service but one as audience."""
    token = provider.of_ada()["id_token"]
    assert read_unverified(token)[0].get("typ") in (None, "JWT")
    assert service.code(token) == "wrong_token_type"
    careless = OtherIssuer(provider.issuer, audience=AUDIENCE, types=["JWT", ""], excused=excused)
    with following(careless) as other:
        assert other.code(token) == code


def test_rotation(provider: Provider, service: Service, old: Key) -> None:
    """A new key works as soon as a token under it was shown; the old one until it is removed, and no longer."""
    before = provider.of_the_client()
    assert service.code(before) == "allowed"
    new = Key.generate("ES256")
    provider.sign(new, old)
    after = provider.of_the_client()
    assert service.code(after) == "unknown_key"
    service.let_pass(15)
    assert service.says(after, "allowed")
    assert service.code(before) == "allowed"
    provider.sign(new)
    service.let_pass(300)
    assert service.says(before, "unknown_key")
    assert service.code(after) == "allowed"


def test_an_outage(provider: Provider, service: Service) -> None:
    """Its tokens work on while it is away, for an hour, and again when it is back."""
    token = provider.of_the_client()
    provider.stop()
    service.let_pass(300)
    assert eventually(lambda: service.guard.status().others[0].last_error is not None, SOON)
    assert service.code(token) == "allowed"
    service.let_pass(3301)
    assert service.code(token) == "guard_stale"
    provider.start()
    service.let_pass(60)
    assert service.says(token, "allowed")
    assert service.guard.status().others[0].last_error is None
