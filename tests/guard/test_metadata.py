"""Where an issuer's metadata and keys are."""

import json

import pytest

from watchword.guard.metadata import jwks_resource, metadata_resources
from watchword.transport import Address, TransportError

ORIGIN = Address(True, "partner.example", 443, "")


@pytest.mark.parametrize(
    ("issuer", "openid", "oauth"),
    [
        ("https://partner.example", "", ""),
        ("https://partner.example/", "", ""),
        ("https://partner.example/realms/main", "/realms/main", "/realms/main"),
        ("https://partner.example/realms/main/", "/realms/main", "/realms/main"),
    ],
)
def test_places(issuer: str, openid: str, oauth: str) -> None:
    """One standard appends, the other inserts; a slash at the end is left out."""
    first, second = metadata_resources(issuer, plain_http_anywhere=False)
    assert first == (ORIGIN, f"{openid}/.well-known/openid-configuration")
    assert second == (ORIGIN, f"/.well-known/oauth-authorization-server{oauth}")


def named(url: object, issuer: object = "https://partner.example/realm") -> bytes:
    """Metadata."""
    return json.dumps({"issuer": issuer, "jwks_uri": url}).encode()


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://partner.example/keys", "/keys"),
        ("https://partner.example:443/keys?p=policy", "/keys?p=policy"),
        ("https://PARTNER.example", "/"),
    ],
)
def test_keys(url: str, target: str) -> None:
    """On the issuer's host, at any path, with a query or without."""
    found = jwks_resource("https://partner.example/realm", named(url), plain_http_anywhere=False)
    assert found == (ORIGIN, target)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"issuer": "https://partner.example/realm"}',
        b'{"issuer": "https://partner.example/realm", "issuer": "x", "jwks_uri": "https://partner.example/keys"}',
        named("https://partner.example/keys", "https://partner.example"),
        named("https://partner.example/keys", "https://partner.example/realm/"),
        named("https://partner.example/keys", "https://partner.example/REALM"),
        named("https://partner.example/keys", ["https://partner.example/realm"]),
        named("https://partner.example:8443/keys"),
        named("http://partner.example/keys"),
        named("https://keys.partner.example/keys"),
        named("https://partner.example.evil.example/keys"),
        named("https://partner.example@evil.example/keys"),
        named("https://evil.example\\@partner.example/keys"),
        named("https://evil.example#@partner.example/keys"),
        named("https://evil.example?@partner.example/keys"),
        named("//partner.example/keys"),
        named("https://partner.example/keys#x"),
        named("https://partner.example/keys?x#y"),
        named("https://partner.example/keys?x\r\nHost: evil.example"),
        named("https://partner.example/k\u00e9ys"),
        named("https://partner.example:99999/keys"),
        named("https://[partner.example/keys"),
        named(None),
    ],
)
def test_nowhere(document: bytes) -> None:
    """Metadata of another issuer, or that lead anywhere else, lead nowhere."""
    with pytest.raises(TransportError):
        jwks_resource("https://partner.example/realm", document, plain_http_anywhere=False)
