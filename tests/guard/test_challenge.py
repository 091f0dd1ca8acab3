"""Refusals as HTTP answers."""

import json

from watchword import errors
from watchword.guard.challenge import answer


def headers(refusal: errors.Refused, realm: str = "orders") -> dict[str, str]:
    """The headers of an answer."""
    return {name.decode(): value.decode("ascii") for name, value in answer(refusal, realm=realm).headers}


def test_no_token() -> None:
    """Without a token: a plain challenge, without an error code (RFC 6750 section 3.1)."""
    assert headers(errors.NoToken())["www-authenticate"] == 'Bearer realm="orders"'


def test_invalid_token() -> None:
    """A token that does not stand: 401 invalid_token with the public sentence."""
    made = answer(errors.Expired("expired 17 s ago"), realm="orders", decision="d-1")
    assert made.status == 401
    told = dict(made.headers)
    assert told[b"www-authenticate"] == (
        b'Bearer realm="orders", error="invalid_token", '
        b'error_description="The token has expired. Refresh it, or sign in again."'
    )
    assert (told[b"content-type"], told[b"cache-control"]) == (b"application/problem+json", b"no-store")
    assert told[b"content-length"] == str(len(made.body)).encode()
    assert json.loads(made.body) == {
        "type": "urn:watchword:error:token_expired",
        "title": "The token has expired. Refresh it, or sign in again.",
        "status": 401,
        "code": "token_expired",
        "decision": "d-1",
    }
    assert b"17" not in made.body


def test_others() -> None:
    """400 and 403 carry their codes, 503 says when to come back, and other refusals carry no challenge."""
    assert 'error="invalid_request"' in headers(errors.AmbiguousCredentials())["www-authenticate"]
    assert 'error="insufficient_scope"' in headers(errors.NotPermitted())["www-authenticate"]
    assert 'error="insufficient_scope"' in headers(errors.NoRule())["www-authenticate"]
    stale = headers(errors.Stale())
    assert stale["retry-after"] == "1"
    assert "www-authenticate" not in stale
    assert headers(errors.Throttled(retry_after=7))["retry-after"] == "7"
    assert not {"www-authenticate", "retry-after"} & headers(errors.NotFound()).keys()


def test_nothing_gets_out_of_its_quotes() -> None:
    """Texts of users cannot end a quoted text or a line, nor leave ASCII."""
    refusal = errors.NotPermitted()
    refusal.sentence = 'This needs role a"b\\c\r\nX-Evil: 1 ö.'
    value = headers(refusal, realm='a"\r\nb')["www-authenticate"]
    assert value == (
        'Bearer realm="a???b", error="insufficient_scope", error_description="This needs role a?b?c??X-Evil: 1 ?."'
    )


def test_public_members() -> None:
    """What a refusal publishes is added, and never replaces a standard member."""
    body = json.loads(answer(errors.NotPermitted("secret", missing=["role a"], status=200), realm="x").body)
    assert (body["missing"], body["status"]) == (["role a"], 403)
    assert "secret" not in str(body)
