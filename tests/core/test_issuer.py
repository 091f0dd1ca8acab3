"""The issuer's short way says what its long way says, and a payload is written in one order."""

from collections.abc import Mapping
from typing import Any, Final
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchword import Issuer, Key, Position
from watchword.core import issuer as issuers
from watchword.core.compact import read_unverified, split_token
from watchword.core.encoding import b64url_decode, b64url_encode

NOW: Final = 1_700_000_000
ISSUER: Final = "https://auth.example"
WEB: Final[Mapping[str, Any]] = {"subject": "u-1", "audience": "orders", "client": "web", "token_id": "t-1"}


class Liar(str):
    """A text that says something else than it holds when it is asked."""

    __slots__ = ()

    def __len__(self) -> int:
        return 1

    def __str__(self) -> str:
        return "another text"


CLEAN: Final = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=70)
ODD: Final = st.sampled_from(
    [None, msgspec.UNSET, 5, True, b"x", ["orders"], "", "a\nb", "\x7f", "\u2028", "\ud800", "x" * 255, "x" * 256]
) | st.sampled_from([Liar(""), Liar("ada"), Liar("\n")])
TEXT: Final = CLEAN | ODD
TIME: Final = st.sampled_from([NOW, NOW + 0.5, 0, -1, True, 2**53 - 301, 2**53 - 300, 2**53 - 299, 2**53, 2**60])
PLACE: Final = st.sampled_from([Position("e", 7), Position("", 1), Position("e", -1), Position("e", True), "e.7", 5])
ANYTHING: Final = st.fixed_dictionaries(
    {"subject": TEXT, "audience": TEXT, "client": TEXT, "token_id": CLEAN | ODD.filter(lambda text: text is not None)},
    optional={
        "roles": st.lists(TEXT, max_size=3) | ODD,
        "scope": st.lists(st.text("ab~", min_size=1), max_size=3) | ODD,
        "session": TEXT,
        "position": PLACE,
        "issued_at": TIME,
        "not_before": TIME,
    },
)
PLAIN: Final = st.fixed_dictionaries(
    {"subject": CLEAN, "audience": CLEAN, "client": CLEAN, "token_id": st.text("abc", min_size=1, max_size=22)},
    optional={
        "roles": st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=3),
        "scope": st.frozensets(st.text("ab~", min_size=1), max_size=3),
        "session": st.none() | st.text("abc", min_size=1, max_size=9),
        "position": st.none() | st.just(Position("e", 7)),
        "issued_at": st.integers(0, 2**53 - 300) | st.floats(0, 2**52),
        "not_before": st.integers(0, 2**53),
    },
)


@pytest.fixture(scope="module")
def issuer(keys: Mapping[str, Key]) -> Issuer:
    """Signs alike what is alike, as Ed25519 takes no random numbers."""
    return Issuer(ISSUER, keys["Ed25519"], claims=["team"], clock=lambda: NOW)


def outcome(issuer: Issuer, arguments: Mapping[str, Any]) -> object:
    """The token, or the kind of the error and its text."""
    try:
        return issuer.mint(**arguments)
    except (TypeError, ValueError) as error:
        return type(error), str(error)


def looked_at(issuer: Issuer, arguments: Mapping[str, Any]) -> object:
    """The same where no payload is taken for plain."""
    with patch.object(issuers, "_is_plain", return_value=False):
        return outcome(issuer, arguments)


def body(token: str) -> bytes:
    """The payload's text."""
    return b64url_decode(split_token(token.encode())[2])


class TestShortWay:
    """A payload that is plain is not looked at again, and nothing else changes."""

    @settings(max_examples=300)
    @given(ANYTHING)
    def test_same_tokens_and_refusals(self, issuer: Issuer, arguments: Mapping[str, Any]) -> None:
        """Whatever is asked for, plain or not, fit or not."""
        assert outcome(issuer, arguments) == looked_at(issuer, arguments)

    @settings(max_examples=200)
    @given(PLAIN)
    def test_same_tokens(self, issuer: Issuer, arguments: Mapping[str, Any]) -> None:
        """What is fit is minted, in the same bytes."""
        token = outcome(issuer, arguments)
        assert isinstance(token, str)
        assert token == looked_at(issuer, arguments)

    def test_is_taken(self, issuer: Issuer) -> None:
        """An ordinary payload is plain: the long way is not gone."""
        with patch.object(issuers, "read_claims", side_effect=AssertionError):
            issuer.mint(**WEB, roles=["editor"], scope=["read"], session="s-1", position=Position("e", 7), not_before=1)

    @pytest.mark.parametrize("name", ["subject", "client", "token_id", "session", "audience"])
    @pytest.mark.parametrize("text", [Liar(""), msgspec.UNSET, b"x", 5, ""])
    def test_nothing_slips_through(self, issuer: Issuer, name: str, text: object) -> None:
        """No text that is empty, whatever it says of itself, and nothing that is no text."""
        with pytest.raises((TypeError, ValueError), match=r"\w"):
            issuer.mint(**{**WEB, name: text})

    def test_an_issuer_that_is_no_text(self, keys: Mapping[str, Key]) -> None:
        """It is held to the same as what callers give."""
        for wrong in (5, b"https://auth.example"):
            with pytest.raises(ValueError, match="iss is not of the right type"):
                Issuer(wrong, keys["Ed25519"]).mint(**WEB)  # type: ignore[arg-type]

    def test_latest_moment(self, issuer: Issuer) -> None:
        """Times are minted up to 2 to the power of 53, where numbers elsewhere lose seconds."""
        assert isinstance(outcome(issuer, {**WEB, "issued_at": 2**53 - 300, "not_before": 2**53}), str)
        for late in ({"issued_at": 2**53 - 299}, {"not_before": 2**53 + 1}):
            assert outcome(issuer, {**WEB, **late}) == looked_at(issuer, {**WEB, **late})
            assert not isinstance(outcome(issuer, {**WEB, **late}), str)


class TestText:
    """What a token's segments are, to the byte."""

    def test_order(self, issuer: Issuer) -> None:
        """All members, compact and in this order, the operator's own at the end."""
        whole: dict[str, Any] = {
            **WEB,
            "roles": ["reader", "editor"],
            "scope": ["write", "read"],
            "session": "s-1",
            "position": Position("e", 7),
            "not_before": NOW,
        }
        expected = (
            f'{{"iss":"{ISSUER}","sub":"u-1","aud":"orders","client_id":"web","iat":{NOW},"exp":{NOW + 300},'
            f'"jti":"t-1","wwd_pos":"e.7","sid":"s-1","nbf":{NOW},"roles":["editor","reader"],"scope":"read write"'
        )
        assert body(issuer.mint(**whole, claims={"team": "é"})).decode() == f'{expected},"team":"é"}}'
        assert body(issuer.mint(**whole)).decode() == f"{expected}}}"

    def test_least(self, issuer: Issuer) -> None:
        """What is not given is not written, but for the roles."""
        assert body(issuer.mint(**WEB)).decode().endswith(',"jti":"t-1","roles":[]}')
        data = issuer.mint_data(client="web", audience="orders", data={"a": 1}, token_id="t-1")
        assert body(data).decode().endswith(',"jti":"t-1","data":{"a":1}}')

    def test_headers_are_each_keys_own(self, keys: Mapping[str, Key]) -> None:
        """Keys that share a name, an algorithm or a kind of token share no header."""
        made = [
            Key.from_jwk(keys[name].to_jwk() | {"kid": kid}) for name in ("ES256", "Ed25519") for kid in ("one", "two")
        ]
        for key in made * 2:
            token = Issuer(ISSUER, key).mint(**WEB)
            data = Issuer(ISSUER, key).mint_data(client="web", audience="orders", data={})
            header = {"alg": key.algorithm, "kid": key.kid}
            assert read_unverified(token)[0] == header | {"typ": "at+jwt"}
            assert read_unverified(data)[0] == header | {"typ": "data+jwt"}

    @given(st.binary(max_size=100))
    def test_segments(self, data: bytes) -> None:
        """The alphabet of base64url and no padding, whatever the length."""
        assert issuers._segment(data).decode() == b64url_encode(data)

    def test_mutable_arguments(self, issuer: Issuer) -> None:
        """A token keeps saying what was asked for when the caller's lists change."""
        roles, team = ["editor"], {"names": ["a"]}
        token = issuer.mint(**WEB, roles=roles, claims={"team": team})
        before = issuer.mint(**WEB, roles=["editor"], claims={"team": {"names": ["a"]}})
        roles.append("admin")
        team["names"].append("b")
        assert token == before
