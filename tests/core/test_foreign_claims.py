"""Payloads of other issuers: whatever they hold, out comes what a token says, or a refusal."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.core.compact import unverified_issuer
from watchword.core.encoding import b64url_encode
from watchword.core.foreign_claims import ForeignClaims, ForeignFacts, ForeignGrants, Places
from watchword.core.grants import Grants
from watchword.errors import InvalidClaim, Malformed, Refused, WrongType

PLACES = Places(("azp",), (("realm_access", "roles"), ("groups",)), (("scope",),), (("permissions",),))
GOOD = {
    "iss": "https://partner.example",
    "sub": "ada",
    "aud": "orders",
    "iat": 1000,
    "exp": 1300,
    "jti": "1",
    "azp": "w",
}
_names = st.sampled_from(
    ["iss", "sub", "aud", "iat", "azp", "realm_access", "roles", "groups", "scope", "events", "cnf", "typ", "token_use"]
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=10,
)


def read(members: dict[str, Any], excused: frozenset[str] = frozenset()) -> ForeignClaims:
    """What a payload says."""
    return PLACES.read(json.dumps(members).encode(), excused)


def test_what_is_read() -> None:
    """The registered claims, and the names wherever they stand, each once and in their order."""
    more = {"realm_access": {"roles": ["b", "a", "b", ""]}, "groups": "c d", "scope": " x  y ", "permissions": ["p"]}
    claims = read(GOOD | more | {"wwd_pos": 5, "roles": 5, "nbf": 1001, "sid": "s"})
    assert (claims.roles, claims.scopes, claims.permissions) == (("b", "a", "c d"), ("x", "y"), ("p",))
    assert (claims.sub, claims.client_id, claims.jti, claims.sid, claims.nbf) == ("ada", "w", "1", "s", 1001)
    assert claims.position is None


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "iat", "exp", "jti", "azp"])
def test_what_is_needed(name: str) -> None:
    """The claims of RFC 9068, wherever the client's name stands; only the two that can be excused may be missing."""
    lacking = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(InvalidClaim):
        read(lacking)
    excused = frozenset({"client_id", "jti"})
    if name in ("jti", "azp"):
        assert read(lacking, excused).sub == "ada"
    else:
        with pytest.raises(InvalidClaim):
            read(lacking, excused)


@pytest.mark.parametrize(
    "members",
    [{"sub": 5}, {"sub": ""}, {"sub": "a\n"}, {"azp": ["w"]}, {"iat": "1000"}, {"exp": True}, {"aud": []}, {"sid": 5}],
)
def test_what_has_another_form(members: dict[str, Any]) -> None:
    """The claims have the form that ours have."""
    with pytest.raises(InvalidClaim):
        read(GOOD | members)


@pytest.mark.parametrize("name", ["at_hash", "c_hash", "s_hash", "nonce", "events"])
@pytest.mark.parametrize("value", ["x", None])
def test_claims_of_other_kinds(name: str, value: object) -> None:
    """What only ID tokens, or security events, have is in no access token."""
    with pytest.raises(WrongType):
        read(GOOD | {name: value})


@pytest.mark.parametrize("typ", ["ID", "Refresh", "Offline", "Logout", "JWT", "Bearer ", "", None, 5, ["Bearer"]])
def test_another_kind_by_keycloak(typ: object) -> None:
    """A payload that names its kind must name that of access tokens."""
    with pytest.raises(WrongType):
        read(GOOD | {"typ": typ})


@pytest.mark.parametrize("use", ["id", "refresh", "", None, 5, ["access"]])
def test_another_use_by_cognito(use: object) -> None:
    """As must one that says what it is for."""
    with pytest.raises(WrongType):
        read(GOOD | {"token_use": use})


@pytest.mark.parametrize("members", [{"typ": "Bearer"}, {"typ": "bearer"}, {"typ": "AT+JWT"}, {"token_use": "Access"}])
def test_kinds_that_are_access_tokens(members: dict[str, str]) -> None:
    """In any spelling."""
    assert read(GOOD | members).sub == "ada"


def test_two_readings() -> None:
    """A payload with two readings is refused, as everywhere."""
    text = json.dumps(GOOD)[:-1] + ', "sub": "eve"}'
    with pytest.raises(Malformed):
        PLACES.read(text.encode(), frozenset())


@given(st.dictionaries(_names, _values))
def test_nothing_else_comes_out(members: dict[str, Any]) -> None:
    """Whatever stands in a payload, it is read or refused."""
    try:
        claims = read(GOOD | members)
    except Refused as refusal:
        assert type(refusal) in (Malformed, InvalidClaim, WrongType)  # noqa: PT017 - any of them
    else:
        for names in (claims.roles, claims.scopes, claims.permissions):
            assert {type(name) for name in names} <= {str}
            assert all(names)


def test_facts() -> None:
    """They are foreign, and know when the token was issued, whatever `nbf` says."""
    claims = read(GOOD | {"nbf": 1100})
    grant = ForeignGrants(Grants({}, {}), roles={}, scopes={}, permissions={}, keep=False).of(claims)
    facts = ForeignFacts.of(claims, grant, "https://partner.example", 2.0)
    assert facts.foreign
    assert (facts.issued, facts.begins, facts.ends, facts.position) == (1000, 1098, 1302, None)


def test_tokens_alike_share_a_grant() -> None:
    """What many tokens come to is worked out once, and never kept without a bound."""
    grants = ForeignGrants(
        Grants({"editor": ["w"]}, {}), roles={"b": frozenset({"editor"})}, scopes={}, permissions={}, keep=False
    )
    one, other = (grants.of(read(GOOD | {"groups": ["b"], "jti": jti})) for jti in "12")
    assert one is other
    assert [*one.named, *one.roles, *one.permissions] == ["b", "editor", "w"]
    for number in range(3000):
        grants.of(read(GOOD | {"groups": [f"g-{number}"]}))
    assert len(grants._granted) <= 1024


class TestTheIssuerThatIsNamed:
    """Read before anything is known to be true: only to choose who looks closer."""

    def token(self, payload: bytes) -> str:
        """Something with this payload."""
        return f"e30.{b64url_encode(payload)}.AA"

    @pytest.mark.parametrize(
        ("payload", "name"),
        [
            (b'{"iss":"a"}', "a"),
            (b'{"x":[{"iss":"b"}],"iss":"a"}', "a"),
            (b'{"iss":"a","iss":"b"}', "b"),
            (b'{"iss":5}', None),
            (b'{"iss":null}', None),
            (b"{}", None),
            (b"[]", None),
            (b"5", None),
            (b"", None),
            (b"\xff", None),
            (b'{"iss":"\xff"}', None),
            (b"[" * 10_000, None),
            (b'{"x":' * 10_000, None),
        ],
    )
    def test_payloads(self, payload: bytes, name: str | None) -> None:
        """One text, or none."""
        assert unverified_issuer(self.token(payload)) == name

    @pytest.mark.parametrize(
        "token", ["", "a", "a.b", "..", "a.=.c", "a.e30=.c", "a.\ud800.c", "a.\u00e9.c", "a.e31.c"]
    )
    def test_no_tokens(self, token: str) -> None:
        """What is no token names nobody."""
        assert unverified_issuer(token) is None

    def test_a_long_one(self) -> None:
        """What no verifier would take is not looked at."""
        padding = b" " * 40_000
        assert unverified_issuer(self.token(b'{"iss":"a"}' + padding)) == "a"
        assert unverified_issuer(self.token(b'{"iss":"a"}' + padding * 2)) is None
