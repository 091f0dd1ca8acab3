"""What can be said of another issuer, and what cannot be meant."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from watchword import Key, KeySet, OtherIssuer

ISSUER = "https://partner.example"


@pytest.mark.parametrize(
    "settings",
    [
        {"issuer": ""},
        {"issuer": "partner.example"},
        {"issuer": "http://partner.example"},
        {"issuer": "https://user:password@partner.example"},
        {"issuer": "https://partner.example#x"},
        {"issuer": "https://partner.example?x=1"},
        {"issuer": "ftp://partner.example"},
        {"jwks": "http://partner.example/keys"},
        {"jwks": "https://user@partner.example/keys"},
        {"jwks": "/keys"},
        {"audience": ""},
        {"audience": []},
        {"types": []},
        {"types": "at+jwt"},
        {"types": [None]},
        {"algorithms": ["HS256"]},
        {"algorithms": []},
        {"roles": {"chief": "editor"}},
        {"roles": {"chief": [""]}},
        {"roles": {"": ["editor"]}},
        {"scopes": {"o": "orders"}},
        {"permissions": {"o": "orders"}},
        {"roles_at": ""},
        {"roles_at": ()},
        {"roles_at": "realm..roles"},
        {"roles_at": ("realm", "")},
        {"roles_at": ("realm", 5)},
        {"roles_at": 5},
        {"roles_at": ["roles", ""]},
        {"roles_at": "https://partner.example/roles"},
        {"roles_at": "urn:roles"},
        {"client_at": ["azp"]},
        {"excused": ["exp"]},
        {"excused": "jti"},
        {"leeway": timedelta(minutes=2)},
        {"max_lifetime": timedelta(0)},
        {"refresh": timedelta(seconds=14)},
        {"refresh": timedelta(hours=2)},
        {"keep": timedelta(minutes=1)},
        {"keys": (), "jwks": "https://partner.example/keys"},
    ],
)
def test_what_cannot_be_meant(settings: dict[str, Any]) -> None:
    """It is refused when it is said, not when the first token comes."""
    with pytest.raises(ValueError, match=r"\w"):
        OtherIssuer(**({"issuer": ISSUER, "audience": "orders"} | settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"issuer": "http://127.0.0.1:9000"},
        {"issuer": "http://localhost/realm"},
        {"issuer": "http://partner.example", "unsafely_allow_plain_http": True},
        {"issuer": "https://partner.example/realm/"},
        {"issuer": "urn:partner", "jwks": "https://partner.example/keys?tenant=5"},
        {"issuer": "urn:partner", "keys": ()},
        {"roles_at": ("https://partner.example/roles",)},
        {"roles_at": ["realm_access.roles", ("resource_access", "orders", "roles")]},
        {"roles": {"guest": []}},
        {"refresh": timedelta(seconds=15), "keep": timedelta(seconds=15)},
        {"types": ["JWT", ""]},
    ],
)
def test_what_can(settings: dict[str, Any]) -> None:
    """Loopback may be plain, names may hold dots, a name may mean nothing."""
    OtherIssuer(**({"issuer": ISSUER, "audience": "orders"} | settings))


def test_it_does_not_change() -> None:
    """What was checked stays as it was."""
    other = OtherIssuer(ISSUER, audience="orders")
    with pytest.raises(AttributeError):
        other.audience = "billing"  # type: ignore[misc]


def test_an_issuer_has_an_audience() -> None:
    """There is no default: a token for somebody else is no token."""
    with pytest.raises(TypeError):
        OtherIssuer(ISSUER)  # type: ignore[call-arg]


def test_fixed_keys(keys: Mapping[str, Key]) -> None:
    """One, several or a set; where there are none, none can be asked for."""
    key = keys["ES256"].public
    for given in (key, [key], KeySet([key])):
        assert list(OtherIssuer(ISSUER, audience="orders", keys=given).key_set()) == [key]
    with pytest.raises(ValueError, match="no fixed keys"):
        OtherIssuer(ISSUER, audience="orders").key_set()
