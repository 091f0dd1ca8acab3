"""What a token says: types, sizes, and a caller that nobody can make up."""

import copy
import json
import pickle
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword import Caller, Data, Issuer, Key, Position, Refused, Verifier
from watchword.core import claims as claims_module
from watchword.core.caller import Grant, fingerprint
from watchword.core.claims import REGISTERED, AccessClaims, DataClaims, decode_claims, read_claims
from watchword.core.compact import strict_object
from watchword.core.encoding import MAX_DEPTH, b64url_decode, b64url_encode, json_encode
from watchword.errors import InvalidClaim, Malformed, NotPermitted

NONE: frozenset[str] = frozenset()
GOOD: dict[str, object] = {
    "iss": "https://auth.example",
    "sub": "u-1",
    "aud": "orders",
    "exp": 1300,
    "iat": 1000,
    "jti": "t-1",
    "client_id": "web",
}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


class TestTypes:
    """RFC 7519 section 4.1 and RFC 9068 section 2.2."""

    def test_least(self) -> None:
        """The required claims are enough."""
        claims = read_claims(GOOD, AccessClaims, NONE)
        assert (claims.sub, claims.roles, claims.position) == ("u-1", [], None)

    @pytest.mark.parametrize("name", sorted(GOOD))
    def test_required(self, name: str) -> None:
        """Each of them."""
        with pytest.raises(InvalidClaim, match=f"the claim {name} is missing"):
            read_claims({claim: value for claim, value in GOOD.items() if claim != name}, AccessClaims, NONE)

    @pytest.mark.parametrize("name", ["jti", "client_id"])
    def test_excused(self, name: str) -> None:
        """What an issuer is excused from may be missing, and nothing else; what is there is still checked."""
        rest = {claim: value for claim, value in GOOD.items() if claim != name}
        assert read_claims(rest, AccessClaims, frozenset({name})).sub == "u-1"
        with pytest.raises(InvalidClaim, match="missing"):
            read_claims(rest, AccessClaims, frozenset({"jti", "client_id"} - {name}))
        with pytest.raises(InvalidClaim, match=name):
            read_claims(GOOD | {name: 5}, AccessClaims, frozenset({name}))

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("iss", [None, 5, True, [], ["https://auth.example"], {}]),
            ("sub", [None, 5, True, "", "x" * 256, "a\x00", "a\nb", "\x1f", "\x7f", "\x85", [], ["u-1"]]),
            ("jti", [None, 5, "", "x" * 256, "\x00", []]),
            ("client_id", [None, 5, "", "x" * 256, "\r", []]),
            ("sid", [None, 5, "", "x" * 256, "\t", []]),
            ("aud", [None, 5, True, "", [], [5], ["orders", None], {"orders": 1}]),
            ("roles", [None, "editor", 5, [5], ["editor", None], {"editor": 1}, [["editor"]]]),
            ("scope", [None, 5, ["a"], True]),
            ("wwd_pos", [None, 5, "", "e", "e.", ".1", "e.01", "e.-1", "e.1 ", "e.1\n", "é.1", "e.1.1", "e.1e3"]),
        ],
    )
    def test_texts(self, name: str, values: list[object]) -> None:
        """Texts are texts of 1 to 255 characters without control characters, lists are lists of texts."""
        for value in values:
            with pytest.raises(InvalidClaim, match=name):
                read_claims(GOOD | {name: value}, AccessClaims, NONE)

    @pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
    def test_times(self, name: str) -> None:
        """Numbers: a boolean is none, a text is none, and they have bounds."""
        bad: list[object] = [None, True, False, "1000", "", [], {}, -1, -0.5, 2**53 + 2, 10**30, 10**400, 1e300]
        for value in bad:
            with pytest.raises(InvalidClaim, match=r"type"):
                read_claims(GOOD | {name: value}, AccessClaims, NONE)
        for good in (0, 1000, 1000.5, 2**53):
            assert getattr(read_claims(GOOD | {name: good}, AccessClaims, NONE), name) == good

    @pytest.mark.parametrize(
        "claims",
        [
            {"sub": "x" * 255},
            {"sub": "é/\\'\"%00 <&>😀"},
            {"aud": ["billing", "orders"]},
            {"wwd_pos": "aZ_-9.0"},
            {"wwd_pos": "e.999999999999999999"},
            {"roles": []},
            {"scope": ""},
            {"own": {"any": ["thing"]}, "act": {"sub": "x"}},
        ],
    )
    def test_accepted(self, claims: dict[str, object]) -> None:
        """The ends of each range, any printable text, and claims of others."""
        read_claims(GOOD | claims, AccessClaims, NONE)

    def test_data(self) -> None:
        """A data token's data is an object."""
        assert read_claims(GOOD | {"data": {"a": 1}}, DataClaims, NONE).data == {"a": 1}
        bad: list[object] = [None, [], "text", 5]
        for value in bad:
            with pytest.raises(InvalidClaim, match="data"):
                read_claims(GOOD | {"data": value}, DataClaims, NONE)
        with pytest.raises(InvalidClaim, match="the claim data is missing"):
            read_claims(GOOD, DataClaims, NONE)

    @given(
        st.dictionaries(st.sampled_from(sorted(REGISTERED)) | st.text(max_size=8), ANY_JSON, max_size=8), st.booleans()
    )
    def test_any_payload(self, changes: dict[str, object], bare: bool) -> None:
        """Whatever the claims: they are read, or `InvalidClaim` with a text that quotes none of them."""
        text = ""
        try:
            read_claims(changes if bare else GOOD | changes, AccessClaims, NONE)
        except InvalidClaim as why:
            text = why.detail
        assert len(text) < 80
        assert text.isascii()

    def test_no_value_is_quoted(self) -> None:
        """Neither values nor foreign names show in a refusal's text."""
        for payload in (
            GOOD | {"sub": ["hunter2"]},
            GOOD | {"roles": ["a", {"hunter2": "hunter2"}]},
            {"hunter2": 1},
            GOOD | {"exp": "hunter2"},
            GOOD | {"wwd_pos": "hunter2"},
        ):
            with pytest.raises(InvalidClaim) as refusal:
                read_claims(payload, AccessClaims, NONE)
            assert "hunter2" not in f"{refusal.value}{refusal.value!r}"
        assert "hunter2" not in claims_module._without_values("Object contains unknown field `hunter2`")


@pytest.fixture
def token(keys: Mapping[str, Key]) -> str:
    """A token that says all that a token can say."""
    issuer = Issuer("https://auth.example", keys["ES256"], claims=["team"], clock=lambda: 1000)
    return issuer.mint(
        subject="u-1",
        audience="orders",
        client="web",
        roles=["editor", "author"],
        scope=["read", "write"],
        session="s-1",
        position=Position("e", 7),
        claims={"team": {"name": "blue"}},
        token_id="t-1",
        lifetime=timedelta(seconds=60),
    )


@pytest.fixture
def caller(keys: Mapping[str, Key], token: str) -> Caller:
    """Its caller."""
    return Verifier("https://auth.example", "orders", keys["ES256"].public, clock=lambda: 1000).verify(token)


class TestReading:
    """The short way and the long way are one."""

    def test_our_own_are_read_the_short_way(self, keys: Mapping[str, Key], monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever an issuer of ours writes needs no second look, but for an operator's own claims."""
        looks: list[bytes] = []

        def look(body: bytes) -> dict[str, Any]:
            looks.append(body)
            return strict_object(body)

        monkeypatch.setattr(claims_module, "strict_object", look)
        issuer = Issuer("i", keys["Ed25519"], claims=["team"])
        verifier = Verifier("i", "a", keys["Ed25519"].public)
        plain: dict[str, Any] = {"subject": "ü", "audience": "a", "client": "web"}
        full = {"roles": ["b", "a"], "scope": ["s"], "session": "s-1", "position": Position("e", 7), "not_before": 5}
        for options in (plain, plain | full):
            verifier.verify(issuer.mint(**options))
        verifier.verify_data(issuer.mint_data(client="web", audience="a", data={"b": [1, {"c": None}], "a": "é"}))
        assert looks == []
        assert verifier.verify(issuer.mint(**plain, claims={"team": "blue"})).claims["team"] == "blue"
        assert len(looks) == 1

    @given(st.fixed_dictionaries({}, optional=dict.fromkeys((*GOOD, "nbf", "roles", "scope", "cnf"), ANY_JSON)))
    def test_the_same_by_both(self, changes: dict[str, object]) -> None:
        """A payload means the same however its members are ordered: one order is read the short way."""
        payload = {name: value for name, value in (GOOD | changes).items() if name in AccessClaims.__struct_fields__}
        ordered = {name: payload[name] for name in AccessClaims.__struct_fields__ if name in payload}
        found = []
        for members in (ordered, dict(reversed(ordered.items()))):
            try:
                found.append(repr(decode_claims(json_encode(members), AccessClaims, NONE)))
            except Refused as refusal:
                found.append(refusal.code)
            except ValueError:
                return  # nothing that JSON has
        assert found[0] == found[1]

    @pytest.mark.parametrize("name", ["jti", "client_id"])
    def test_excused_by_both(self, name: str) -> None:
        """A claim that may be missing may be so in either order, and in neither if it is not excused."""
        payload = {claim: value for claim, value in (GOOD | {"roles": []}).items() if claim != name}
        ordered = {claim: payload[claim] for claim in AccessClaims.__struct_fields__ if claim in payload}
        for members in (ordered, dict(reversed(ordered.items()))):
            assert decode_claims(json_encode(members), AccessClaims, frozenset({name})).sub == "u-1"
            with pytest.raises(InvalidClaim, match="missing"):
                decode_claims(json_encode(members), AccessClaims, NONE)

    @pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
    def test_depth(self, opening: str, closing: str) -> None:
        """What nests too deep is refused, although it stands as our own issuer would write it."""
        start = '{"iss":"i","sub":"s","aud":"a","client_id":"c","iat":1,"exp":2,"jti":"t","data":{"a":'
        most = MAX_DEPTH - 2  # the payload and its data are two
        assert decode_claims(f"{start}{opening * most}0{closing * most}}}}}".encode(), DataClaims, NONE).sub == "s"
        with pytest.raises(Malformed):
            decode_claims(f"{start}{opening * (most + 1)}0{closing * (most + 1)}}}}}".encode(), DataClaims, NONE)

    @pytest.mark.parametrize(
        "text",
        [
            '{"iss":"i","iss":"i","sub":"s","aud":"a","client_id":"c","iat":1,"exp":2,"jti":"t","roles":[]}',
            '{"iss":"i","sub":"s","aud":"a","client_id":"c","iat":1,"exp":2,"jti":"t","roles":[],"roles":["admin"]}',
            '{"iss":"i","sub":"s","aud":"a","client_id":"c","iat":1,"exp":2,"jti":"t","roles":[],"r\\u006fles":["x"]}',
            '{"iss":"i","sub":"s","aud":"a","client_id":"c","iat":1,"exp":2,"jti":"t","cnf":'
            + "[" * 40
            + "]" * 40
            + "}",
            '{"iss":"i","sub":"s","aud":"a","client_id":"c","iat":1,"exp":2,"jti":"t","roles":[]} x',
        ],
    )
    def test_two_readings(self, text: str) -> None:
        """What the short way does not give back to the byte is read strictly, and refused."""
        with pytest.raises(Refused):
            decode_claims(text.encode(), AccessClaims, NONE)


class Owner:
    """A rule: only this subject."""

    def __init__(self, subject: str) -> None:
        self.subject = subject

    def refusal(self, caller: Caller) -> Refused | None:
        """None for the owner."""
        return None if caller.subject == self.subject else NotPermitted("not the owner", missing="owner")


class Told:
    """Keeps what it is told of rules."""

    token = "a.b.c"

    def __init__(self) -> None:
        self.lines: list[tuple[object, Refused | None]] = []

    def stands(self, bound: float) -> Refused | None:
        """Whatever the bound."""

    async def gone(self) -> Refused:
        """Not here."""
        raise NotImplementedError

    def renew(self, token: str | bytes) -> Caller:
        """Not here."""
        raise NotImplementedError

    def decided(self, rule: object, refusal: Refused | None) -> None:
        """Keep."""
        self.lines.append((rule, refusal))


def granting(caller: Caller, permissions: list[str]) -> Caller:
    """The same caller with these permissions."""
    mine = caller._facts.grant
    grant = Grant(mine.named, mine.roles, frozenset(permissions), mine.scopes)
    return Caller._of(msgspec.structs.replace(caller._facts, grant=grant), caller._shown)


class TestCaller:
    """Who made the request."""

    def test_says_what_the_token_says(self, caller: Caller) -> None:
        """Each property is its claim."""
        assert (caller.subject, caller.issuer, caller.client) == ("u-1", "https://auth.example", "web")
        assert (caller.session, caller.token_id, caller.position) == ("s-1", "t-1", Position("e", 7))
        assert (caller.issued_at, caller.expires_at) == (1000, 1060)
        assert caller.roles == {"author", "editor"}
        assert caller.scopes == {"read", "write"}
        assert caller.permissions == frozenset()
        assert caller.claims["team"] == {"name": "blue"}

    def test_from_when_until_when(self, keys: Mapping[str, Key]) -> None:
        """A token stands from the later of iat and nbf until exp, and the leeway longer at either end."""
        issuer = Issuer("i", keys["ES256"], clock=lambda: 1000)
        verifier = Verifier("i", "a", keys["ES256"].public, leeway=timedelta(seconds=3), clock=lambda: 1020)
        for not_before, begins in ((None, 997), (990, 997), (1020, 1017)):
            minute = timedelta(seconds=60)
            token = issuer.mint(subject="s", audience="a", client="c", not_before=not_before, lifetime=minute)
            facts = verifier.facts(token)
            assert (facts.begins, facts.ends) == (begins, 1063)

    def test_missing_claims_are_none(self, keys: Mapping[str, Key]) -> None:
        """No session, no scope and no position for a client that acts for itself."""
        token = Issuer("i", keys["ES256"]).mint(subject="svc", audience="a", client="svc")
        caller = Verifier("i", "a", keys["ES256"].public).verify(token)
        assert (caller.session, caller.position) == (None, None)
        assert caller.scopes == caller.roles == frozenset()

    def test_cannot_be_made_up(self, caller: Caller) -> None:
        """No constructor, no subclass's trick of attributes, no copy with other contents."""
        with pytest.raises(TypeError, match="never from a constructor"):
            Caller()
        with pytest.raises(AttributeError):
            caller.roles = frozenset({"admin"})  # type: ignore[misc]
        with pytest.raises(AttributeError):
            caller.anything = 1
        with pytest.raises(AttributeError):
            del caller.roles
        with pytest.raises(TypeError):
            caller.claims["sub"] = "root"  # type: ignore[index]

    def test_does_not_travel(self, caller: Caller) -> None:
        """It belongs to one request in one process, and holds the token: it is neither pickled nor copied."""
        data = object.__new__(Data)
        for act in (pickle.dumps, copy.copy, copy.deepcopy, msgspec.json.encode, msgspec.msgpack.encode):
            for value in (caller, data):
                with pytest.raises(TypeError):
                    act(value)
        with pytest.raises(TypeError):
            msgspec.structs.asdict(caller)  # type: ignore[arg-type]
        with pytest.raises((TypeError, msgspec.ValidationError)):
            msgspec.convert({"_facts": {}, "_shown": {}}, Caller)
        written = msgspec.json.encode([caller], enc_hook=str)
        assert caller._shown.token.encode() not in written
        assert b"s-1" not in written

    def test_texts_show_no_token(self, caller: Caller, token: str) -> None:
        """str and repr say who, and the fingerprint names the token without being it."""
        assert repr(caller) == "Caller(subject='u-1', client='web', roles=['author', 'editor'])"
        assert str(caller) == repr(caller)
        assert caller.fingerprint == fingerprint(token)
        assert len(caller.fingerprint) == 16
        assert caller.fingerprint not in token

    def test_bytes_and_text_are_one_token(self, keys: Mapping[str, Key], token: str) -> None:
        """A caller is the same, by whichever form the token came."""
        verifier = Verifier("https://auth.example", "orders", keys["ES256"].public, clock=lambda: 1000)
        assert verifier.verify(token.encode()).fingerprint == fingerprint(token)

    @pytest.mark.parametrize(
        ("granted", "asked", "answer"),
        [
            (["orders:write"], "orders:write", True),
            (["orders:write"], "orders:read", False),
            (["orders:write"], "orders", False),
            (["orders:*"], "orders:write", True),
            (["orders:*"], "orders:lines:write", True),
            (["orders:*"], "orders", False),
            (["orders:*"], "ordersx:write", False),
            (["orders:lines:*"], "orders:lines:write", True),
            (["orders:lines:*"], "orders:write", False),
            (["*"], "anything", True),
            (["orders*"], "orders:write", False),
            (["*:write"], "orders:write", False),
            ([], "orders:write", False),
            ([], "", False),
        ],
    )
    def test_may(self, caller: Caller, granted: list[str], asked: str, answer: bool) -> None:
        """A star stands for the rest, after a colon only."""
        assert granting(caller, permissions=granted).may(asked) is answer

    def test_require(self, caller: Caller) -> None:
        """A rule about an object passes in silence, or raises its refusal; whoever listens is told of both."""
        told = Told()
        heard = Caller._of(caller._facts, told)
        mine, theirs = Owner("u-1"), Owner("u-2")
        heard.require(mine)
        with pytest.raises(NotPermitted) as refusal:
            heard.require(theirs)
        assert told.lines == [(mine, None), (theirs, refusal.value)]
        caller.require(mine)
        with pytest.raises(NotPermitted):
            caller.require(theirs)

    def test_claims_of_a_long_token(self, keys: Mapping[str, Key]) -> None:
        """A token that was let in by a larger limit is read by no smaller one."""
        issuer = Issuer("i", keys["ES256"], claims=["long"])
        token = issuer.mint(subject="u", audience="a", client="web", claims={"long": "x" * 40_000})
        larger = Verifier("i", "a", keys["ES256"].public, max_bytes=100_000)
        text = token.partition(".")[2]
        assert len(text) > 50_000
        assert len(larger.verify(token).claims["long"]) == 40_000
        header, payload, _ = token.split(".")
        body = json_encode(json.loads(b64url_decode(payload.encode())) | {"long": "x" * 60_000})
        signed = f"{header}.{b64url_encode(body)}"
        signature = b64url_encode(keys["ES256"].sign(signed.encode()))
        assert len(larger.verify(f"{signed}.{signature}").claims["long"]) == 60_000

    def test_claims_are_nobody_elses(self, caller: Caller) -> None:
        """What a handler does to a value inside the claims, it does to its own copy."""
        other = Caller._of(caller._facts, caller._shown)
        caller.claims["team"]["name"] = "red"
        assert caller.claims["team"] == {"name": "red"}
        assert other.claims["team"] == {"name": "blue"}


class TestData:
    """What a client sent to another."""

    def test_says_what_the_token_says(self, keys: Mapping[str, Key]) -> None:
        """Content and sender; the repr names the members and shows no value."""
        issuer = Issuer("i", keys["ES256"], clock=lambda: 1000)
        token = issuer.mint_data(client="web", audience="a", data={"b": "hunter2", "a": 1}, position=Position("e", 3))
        data = Verifier("i", "a", keys["ES256"].public, clock=lambda: 1000).verify_data(token)
        assert (data.client, data.content, data.position) == ("web", {"a": 1, "b": "hunter2"}, Position("e", 3))
        assert (data.issued_at, data.expires_at) == (1000, 1300)
        assert data.token_id
        assert data.issuer == "i"
        assert repr(data) == "Data(client='web', members=['a', 'b'])"
        with pytest.raises(TypeError):
            data.content["a"] = 2  # type: ignore[index]

    def test_cannot_be_made_up(self) -> None:
        """No constructor."""
        with pytest.raises(TypeError, match="never from a constructor"):
            Data()


def test_fingerprint_takes_any_text() -> None:
    """Also what no token can be: it names refused ones in logs."""
    assert fingerprint("\ud800") != fingerprint("")
    assert fingerprint("") == "e3b0c44298fc1c14"
