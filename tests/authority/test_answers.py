"""Answers: who may keep a copy, and what a refusal tells."""

import json

import pytest

from watchword.authority.answers import Cached, answer, refuse
from watchword.errors import InvalidClient, InvalidGrant, Throttled


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({}, b"no-store"),
        (None, b"no-store"),
        (Cached({}, 0), b"no-store"),
        (Cached({}, 60), b"public, max-age=60"),
    ],
)
def test_nobody_keeps_a_copy_unless_it_says_so(value: object, kept: bytes) -> None:
    """Tokens and accounts stay out of every cache; key sets may be kept for as long as is said."""
    assert dict(answer(value, 200).headers)[b"cache-control"] == kept


def test_no_value_is_no_content() -> None:
    """204 has neither a body nor a length."""
    given = answer(None, 201)
    assert (given.status, given.body) == (204, b"")
    assert b"content-length" not in dict(given.headers)


def test_oauth_has_its_own_members() -> None:
    """RFC 6749 section 5.2: error and error_description, beside what every refusal tells."""
    given = refuse(InvalidGrant("unknown"), realm="https://auth.example", oauth=True)
    members = json.loads(given.body)
    assert (given.status, members["error"], members["code"]) == (400, "invalid_grant", "invalid_grant")
    assert dict(given.headers)[b"content-type"] == b"application/json"
    assert dict(given.headers)[b"content-length"] == str(len(given.body)).encode()


def test_a_client_is_asked_for_basic_credentials() -> None:
    """401 for a client names the scheme by which clients prove themselves (RFC 6749 section 5.2), and once only."""
    given = refuse(InvalidClient("no client credentials"), realm="https://auth.example", oauth=True)
    fields = [value for name, value in given.headers if name == b"www-authenticate"]
    assert fields == [b'Basic realm="https://auth.example"']


def test_who_is_to_wait_hears_how_long() -> None:
    """What the guard's refusals say in their headers is said here too."""
    given = refuse(Throttled("too many", retry_after=7), realm="")
    assert dict(given.headers)[b"retry-after"] == b"7"
