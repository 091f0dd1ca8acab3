"""Mint and verify: what is minted verifies, here and elsewhere, and nothing wrong gets in."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchword import Caller, Data, Issuer, Key, KeySet, Position, PublicKey, Refused, Verifier, errors
from watchword.core.algorithms import ALGORITHMS
from watchword.core.compact import MAX_TOKEN_BYTES, read_unverified
from watchword.core.encoding import b64url_decode, b64url_encode
from watchword.core.issuer import MAX_DATA_BYTES

NOW = 1_700_000_000
ISSUER = "https://auth.example"
NAMES = tuple(ALGORITHMS)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def clock() -> float:
    """Where time stands still."""
    return NOW


@dataclass
class Forge:
    """A token in the making, good until its parts are changed: text instead of a value goes in as it is."""

    key: Key
    header: dict[str, Any] = field(default_factory=dict)
    payload: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.header = {"alg": self.key.algorithm, "kid": self.key.kid, "typ": "at+jwt"}
        self.payload = {
            "iss": ISSUER,
            "sub": "u-1",
            "aud": "orders",
            "client_id": "web",
            "iat": NOW,
            "exp": NOW + 300,
            "jti": "t-1",
        }

    def token(self, header: str | bytes | None = None, payload: str | bytes | None = None) -> str:
        """The signed token, of these texts where they are given."""
        parts = [
            b64url_encode(text.encode() if isinstance(text, str) else text)
            for text in (
                json.dumps(self.header) if header is None else header,
                json.dumps(self.payload) if payload is None else payload,
            )
        ]
        signed = ".".join(parts)
        return f"{signed}.{b64url_encode(self.key.sign(signed.encode()))}"


@pytest.fixture
def forge(keys: Mapping[str, Key]) -> Forge:
    """A good token, to be spoilt."""
    return Forge(keys["ES256"])


@pytest.fixture(scope="module")
def verifier(keys: Mapping[str, Key]) -> Verifier:
    """Trusts all the keys, with the defaults."""
    return Verifier(ISSUER, "orders", KeySet(key.public for key in keys.values()), clock=clock)


@pytest.fixture(scope="module")
def issuer(keys: Mapping[str, Key]) -> Issuer:
    """Mints with ES256; the claims ``team`` and ``tree`` are declared."""
    return Issuer(ISSUER, keys["ES256"], claims=["team", "tree"], clock=clock)


@pytest.fixture(scope="module")
def good(issuer: Issuer) -> str:
    """A good token."""
    return issuer.mint(subject="u-1", audience="orders", client="web", roles=["editor"], position=Position("e", 1))


def answer(verify: Callable[[str | bytes], object], token: str | bytes) -> str:
    """The code of the refusal, "" for none; anything else is raised. Its text is short and quotes no token."""
    try:
        verify(token)
    except Refused as why:
        refusal = why
    else:
        return ""
    text = token.decode("latin-1") if isinstance(token, bytes) else token
    assert len(str(refusal)) < 200
    assert len(text) < 8 or text not in f"{refusal}{refusal!r}"
    assert refusal.__cause__ is None
    return refusal.code


class TestMintAndVerify:
    """The way that all is meant to go."""

    @pytest.mark.parametrize("name", NAMES)
    def test_round_trip(self, keys: Mapping[str, Key], verifier: Verifier, name: str) -> None:
        """Whatever the algorithm, what was minted is what the caller says."""
        issuer = Issuer(ISSUER, keys[name], clock=clock)
        token = issuer.mint(
            subject="u-1",
            audience="orders",
            client="web",
            roles=["editor", "author", "editor"],
            scope=["write", "read"],
            session="s-1",
            position=Position("e", 7),
        )
        for form in (token, token.encode()):
            caller = verifier.verify(form)
            assert (caller.subject, caller.client, caller.session) == ("u-1", "web", "s-1")
            assert caller.claims["roles"] == ["author", "editor"]
            assert (caller.claims["scope"], caller.claims["aud"]) == ("read write", "orders")
            assert (caller.issued_at, caller.expires_at, caller.position) == (NOW, NOW + 300, Position("e", 7))

    def test_header(self, keys: Mapping[str, Key], good: str) -> None:
        """The header holds algorithm, name of the key and type, and nothing else."""
        assert read_unverified(good)[0] == {"alg": "ES256", "kid": "test-ES256", "typ": "at+jwt"}

    def test_claims_are_those_of_rfc_9068(self, good: str) -> None:
        """The payload's members, no empty ones among them."""
        names = {"iss", "sub", "aud", "client_id", "iat", "exp", "jti", "wwd_pos", "roles"}
        assert read_unverified(good)[1].keys() == names

    def test_token_ids_differ(self, issuer: Issuer) -> None:
        """Each token has its own, hard to guess."""
        tokens = [issuer.mint(subject="u", audience="a", client="c") for _ in range(20)]
        ids = {read_unverified(token)[1]["jti"] for token in tokens}
        assert len(ids) == 20
        assert min(map(len, ids)) >= 22

    def test_whole_seconds(self, keys: Mapping[str, Key], issuer: Issuer) -> None:
        """``iat`` is cut and a lifetime is never shorter than asked for; verifiers in the field refuse fractions."""
        token = issuer.mint(
            subject="u", audience="a", client="c", issued_at=NOW + 0.9, lifetime=timedelta(seconds=59.5)
        )
        claims = read_unverified(token)[1]
        assert (claims["iat"], claims["exp"]) == (NOW, NOW + 60)
        assert isinstance(claims["iat"], int)
        assert isinstance(claims["exp"], int)

    def test_keys_in_other_shapes(self, keys: Mapping[str, Key], good: str) -> None:
        """One key, some keys, a set, or a set for this one token."""
        key = keys["ES256"].public
        for shape in (key, [key], iter([key]), KeySet([key])):
            assert Verifier(ISSUER, "orders", shape, clock=clock).verify(good).subject == "u-1"
        nobody = Verifier(ISSUER, "orders", [], clock=clock)
        assert answer(nobody.verify, good) == "unknown_key"
        assert nobody.verify(good, keys=KeySet([key])).subject == "u-1"

    def test_own_claims(self, issuer: Issuer, verifier: Verifier) -> None:
        """Declared claims arrive as they are."""
        token = issuer.mint(subject="u", audience="orders", client="c", claims={"team": {"a": [1, None, "é"]}})
        assert verifier.verify(token).claims["team"] == {"a": [1, None, "é"]}

    @settings(max_examples=50)
    @given(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=255),
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=4),
        st.lists(st.text("abc:!#[]~", min_size=1), max_size=4),
    )
    def test_any_texts(
        self, issuer: Issuer, verifier: Verifier, subject: str, roles: list[str], scope: list[str]
    ) -> None:
        """Whatever is minted verifies, and says the same."""
        caller = verifier.verify(issuer.mint(subject=subject, audience="orders", client="c", roles=roles, scope=scope))
        assert (caller.subject, set(caller.roles), set(caller.scopes)) == (subject, set(roles), set(scope))

    def test_data(self, issuer: Issuer, verifier: Verifier) -> None:
        """Data travels as it is, and neither kind of token passes for the other."""
        token = issuer.mint_data(client="web", audience="orders", data={"a": {"b": [1]}})
        assert verifier.verify_data(token).content == {"a": {"b": [1]}}
        assert answer(verifier.verify, token) == "wrong_token_type"
        access = issuer.mint(subject="u", audience="orders", client="c")
        assert answer(verifier.verify_data, access) == "wrong_token_type"
        nobody = Verifier(ISSUER, "orders", [], clock=clock)
        assert answer(nobody.verify_data, token) == "unknown_key"
        assert nobody.verify_data(token, keys=verifier.keys).content == {"a": {"b": [1]}}


class TestOrder:
    """The first check that fails is the answer."""

    def test_order(self, keys: Mapping[str, Key], verifier: Verifier) -> None:
        """A token that is wrong in every way is mended step by step, and hears of one mistake after the other."""
        bad = Forge(Key.generate("ES256"))
        bad.header = {"alg": "none", "kid": "nobody", "typ": "JWT"}
        bad.payload |= {"iss": "https://evil.example", "aud": "billing", "exp": NOW - 50, "iat": NOW - 90_000}
        bad.payload |= {"nbf": NOW + 50, "cnf": {}, "sub": None}
        heard = [answer(verifier.verify, bad.token() + "!"), answer(verifier.verify, bad.token())]

        def mend(act: Callable[[], object]) -> None:
            act()
            heard.append(answer(verifier.verify, bad.token()))

        mend(lambda: bad.header.update(alg="ES256"))
        mend(lambda: bad.header.update(kid="test-ES256"))
        mend(lambda: setattr(bad, "key", keys["ES256"]))
        mend(lambda: bad.header.update(typ="at+jwt"))
        mend(lambda: bad.payload.update(sub="u-1"))
        mend(lambda: bad.payload.update(iss=ISSUER))
        mend(lambda: bad.payload.update(aud="orders"))
        mend(lambda: bad.payload.update(iat=NOW - 100))
        mend(lambda: bad.payload.pop("cnf"))
        mend(lambda: bad.payload.update(nbf=NOW - 60))
        mend(lambda: bad.payload.update(exp=NOW + 50))
        assert heard == [
            "token_malformed",
            "algorithm_not_allowed",
            "unknown_key",
            "bad_signature",
            "wrong_token_type",
            "invalid_claim",
            "wrong_issuer",
            "wrong_audience",
            "lifetime_too_long",
            "token_bound",
            "token_not_yet_valid",
            "token_expired",
            "",
        ]

    def test_nothing_of_the_payload_is_believed_unsigned(self, forge: Forge, verifier: Verifier) -> None:
        """A payload that is no JSON is told so only to whoever signed it."""
        signed = forge.token(payload="no json")
        assert answer(verifier.verify, signed) == "token_malformed"
        head, body, tail = signed.split(".")
        forged = ("B" if tail[0] == "A" else "A") + tail[1:]
        assert answer(verifier.verify, f"{head}.{body}.{forged}") == "bad_signature"


class TestForm:
    """Compact form, strict base64url, strict JSON."""

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda _: "",
            lambda _: ".",
            lambda _: "..",
            lambda _: "...",
            lambda t: t.rpartition(".")[0],
            lambda t: t.rpartition(".")[0] + ".",
            lambda t: "." + t.split(".", 1)[1],
            lambda t: ".".join([t.split(".")[0], "", t.split(".")[2]]),
            lambda t: t + ".",
            lambda t: "." + t,
            lambda t: t + ".e30",
            lambda t: ".".join([t.split(".")[0]] * 5),
            lambda t: t + "=",
            lambda t: t + "==",
            lambda t: t + " ",
            lambda t: t + "\n",
            lambda t: " " + t,
            lambda t: "\ufeff" + t,
            lambda t: t.replace(".", ". ", 1),
            lambda t: t.replace(".", "\n.", 1),
            lambda t: t.replace(".", "=.", 1),
            lambda t: t.replace(".", "\uff0e", 1),
            lambda t: t[:5] + "+" + t[6:],
            lambda t: t[:5] + "/" + t[6:],
            lambda t: t[:5] + "%" + t[6:],
            lambda t: t[:5] + "\x00" + t[6:],
            lambda t: t[:5] + "é" + t[6:],
            lambda t: t[:5] + "\ud800" + t[6:],
            lambda t: "Bearer " + t,
            lambda t: f'"{t}"',
            lambda t: f"{t},{t}",
            lambda t: json.dumps(dict(zip(("protected", "payload", "signature"), t.split("."), strict=True))),
        ],
    )
    def test_spoilt(self, good: str, verifier: Verifier, spoil: Callable[[str], str]) -> None:
        """Other numbers of segments, padding, white space, other alphabets, other serialisations."""
        assert answer(verifier.verify, spoil(good)) == "token_malformed"
        assert answer(verifier.verify_data, spoil(good)) == "token_malformed"

    def test_last_character(self, good: str, verifier: Verifier) -> None:
        """A signature has one spelling: another last character with the same bytes is refused."""
        last = ALPHABET.index(good[-1])
        for stray in range(1, 16):  # 64 bytes: the last character carries two bits and four zeros
            assert answer(verifier.verify, good[:-1] + ALPHABET[last | stray]) == "token_malformed"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            '"text"',
            "null",
            "{",
            "{}{}",
            "\ufeff{}",
            '{"alg":"ES256","alg":"none"}',
            '{"alg":"ES256","\\u0061lg":"ES256"}',
            '{"a":NaN}',
            '{"a":1e999}',
            '{"a":"\\ud800"}',
            "{'alg':'ES256'}",
            '{"a":' + "[" * 40 + "]" * 40 + "}",
            b"\xff\xfe{\x00}\x00",
            b'{"a":"\xc0\xaf"}',
        ],
    )
    def test_json(self, forge: Forge, verifier: Verifier, text: str | bytes) -> None:
        """In the header and in a payload that is rightly signed."""
        if text == "":
            token = "." + forge.token().split(".", 1)[1]
            assert answer(verifier.verify, token) == "token_malformed"
        else:
            assert answer(verifier.verify, forge.token(header=text)) == "token_malformed"
        assert answer(verifier.verify, forge.token(payload=text)) == "token_malformed"

    def test_size(self, forge: Forge, keys: Mapping[str, Key], good: str) -> None:
        """A limit before any work, 64 KiB unless another is given, to the byte."""
        forge.payload["own"] = ""
        forge.payload["own"] = "x" * ((MAX_TOKEN_BYTES - len(forge.token())) * 3 // 4 - 2)
        assert MAX_TOKEN_BYTES - 4 <= len(forge.token()) <= MAX_TOKEN_BYTES
        verifier = Verifier(ISSUER, "orders", keys["ES256"].public, clock=clock)
        assert answer(verifier.verify, forge.token()) == ""
        assert answer(verifier.verify, "A" * (MAX_TOKEN_BYTES + 1)) == "token_malformed"
        for limit, code in ((len(good), ""), (len(good) - 1, "token_malformed")):
            small = Verifier(ISSUER, "orders", keys["ES256"].public, max_bytes=limit, clock=clock)
            assert answer(small.verify, good) == answer(small.verify, good.encode()) == code


class TestHeader:
    """The key decides, the header never."""

    @pytest.mark.parametrize(
        "alg",
        [
            "none",
            "None",
            "",
            "es256",
            "ES256 ",
            "HS256",
            "dir",
            "RSA-OAEP",
            "ES384",
            None,
            5,
            True,
            ["ES256"],
            {"a": 1},
        ],
    )
    def test_algorithm(self, forge: Forge, verifier: Verifier, alg: object) -> None:
        """A name that is unknown, misspelt, of another kind or of another key, or no name."""
        forge.header["alg"] = alg
        assert answer(verifier.verify, forge.token()) == "algorithm_not_allowed"
        del forge.header["alg"]
        assert answer(verifier.verify, forge.token()) == "algorithm_not_allowed"

    @pytest.mark.parametrize(("name", "other"), [("RS256", "PS256"), ("RS256", "RS512"), ("EdDSA", "Ed25519")])
    def test_one_key_one_algorithm(self, keys: Mapping[str, Key], verifier: Verifier, name: str, other: str) -> None:
        """Not even what the same key could do: the name under which it is known is the one that counts."""
        forge = Forge(keys[name])
        forge.header["alg"] = other
        assert answer(verifier.verify, forge.token()) == "algorithm_not_allowed"
        swapped = Forge(Key.from_jwk(keys[name].to_jwk() | {"alg": other}))
        assert answer(verifier.verify, swapped.token()) == "algorithm_not_allowed"

    def test_public_text_is_no_secret(self, forge: Forge, keys: Mapping[str, Key], verifier: Verifier) -> None:
        """The oldest trick: HMAC with the public key's PEM as its secret."""
        for secret in (keys["RS256"].public.to_pem(), keys["RS256"].public.to_pem().strip()):
            hs256 = jwt.algorithms.get_default_algorithms()["HS256"]
            forge.header = {"alg": "HS256", "kid": "test-RS256", "typ": "at+jwt"}
            signed = forge.token().rpartition(".")[0]
            signature = hs256.sign(signed.encode(), secret.encode())
            assert answer(verifier.verify, f"{signed}.{b64url_encode(signature)}") == "algorithm_not_allowed"

    def test_allow_list(self, keys: Mapping[str, Key], good: str) -> None:
        """A list narrows what is allowed, also for keys that are known."""
        for names, code in ((["ES256"], ""), (["RS256", "ES384"], "algorithm_not_allowed")):
            verifier = Verifier(ISSUER, "orders", keys["ES256"].public, algorithms=names, clock=clock)
            assert answer(verifier.verify, good) == code

    @pytest.mark.parametrize(
        "kid", [None, 5, "", "TEST-ES256", "test-es256", "../test-ES256", ["test-ES256"], {}, "x" * 999]
    )
    def test_kid(self, forge: Forge, verifier: Verifier, kid: object) -> None:
        """Matched exactly, and a missing one is not guessed."""
        forge.header["kid"] = kid
        assert answer(verifier.verify, forge.token()) == "unknown_key"
        del forge.header["kid"]
        assert answer(verifier.verify, forge.token()) == "unknown_key"

    def test_withdrawn(self, forge: Forge, keys: Mapping[str, Key]) -> None:
        """A withdrawn key is told apart, before its signature is looked at."""
        verifier = Verifier(ISSUER, "orders", KeySet([keys["RS256"].public], withdrawn=["test-ES256"]), clock=clock)
        assert answer(verifier.verify, forge.token()) == "key_withdrawn"
        assert answer(verifier.verify, forge.token()[:-8] + "AAAAAAAA") == "key_withdrawn"

    @pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
    def test_keys_in_the_header(self, forge: Forge, verifier: Verifier, name: str) -> None:
        """A token cannot bring its own key: the member is ignored, and the stranger's signature is bad."""
        stranger = Forge(Key.generate("ES256"))
        stranger.header["kid"] = "test-ES256"
        values: dict[str, object] = {"jwk": stranger.key.public.to_jwk(), "x5c": [stranger.key.public.to_pem()]}
        for each in (forge, stranger):
            each.header[name] = values.get(name, "https://evil.example/keys")
        assert answer(verifier.verify, forge.token()) == ""
        assert answer(verifier.verify, stranger.token()) == "bad_signature"

    @pytest.mark.parametrize(
        "members", [{"crit": ["exp"]}, {"crit": []}, {"crit": None}, {"b64": True}, {"b64": False}, {"enc": "A128GCM"}]
    )
    def test_extensions(self, forge: Forge, verifier: Verifier, members: dict[str, object]) -> None:
        """Any ``crit`` and any ``b64`` is refused, as neither is understood here; and so is what marks a JWE."""
        forge.header |= members
        assert answer(verifier.verify, forge.token()) == "token_malformed"

    def test_too_many_members(self, forge: Forge, verifier: Verifier) -> None:
        """A header is counted before it is read: what has hundreds of members is none."""
        many: list[dict[str, object]] = [
            {f"m{number}": number for number in range(600)},
            {"x": [[]] * 300},
            {"x": [{}] * 300},
            {"x": [1e0] * 600},
        ]
        for members in many:
            assert answer(verifier.verify, forge.token(json.dumps(forge.header | members))) == "token_malformed"
        forge.header |= {"x5c": ["a" * 2000] * 8, "x": {str(number): number for number in range(100)}, "y": "[" * 200}
        assert answer(verifier.verify, forge.token()) == ""

    @pytest.mark.parametrize("more", [0, 1])
    def test_the_most_members(self, forge: Forge, verifier: Verifier, more: int) -> None:
        """128 commas and 256 opening brackets are the most, and not one more, wherever they stand."""
        named = forge.header | {f"m{number}": number for number in range(126 + more)}
        nested = forge.header | {"x": "[" * 100 + "{" * (155 + more)}
        for members in (named, nested):
            refused = answer(verifier.verify, forge.token(json.dumps(members)))
            assert refused == ("token_malformed" if more else "")

    def test_unknown_members(self, forge: Forge, verifier: Verifier) -> None:
        """Other members are ignored (RFC 7515 section 4)."""
        forge.header |= {"cty": "JWT", "zip": "DEF", "own": {"a": [1]}, "epk": {}}
        assert answer(verifier.verify, forge.token()) == ""

    @pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
    def test_type(self, forge: Forge, verifier: Verifier, typ: str) -> None:
        """The media type in any case, with or without its prefix (RFC 7515 section 4.1.9)."""
        forge.header["typ"] = typ
        assert answer(verifier.verify, forge.token()) == ""

    @pytest.mark.parametrize(
        "typ",
        [
            "JWT",
            "data+jwt",
            "",
            "at+jwt ",
            "at+jwt;v=1",
            "application/",
            "application/application/at+jwt",
            "text/at+jwt",
            None,
            5,
            ["at+jwt"],
        ],
    )
    def test_other_types(self, forge: Forge, verifier: Verifier, typ: object) -> None:
        """Another kind of token, or none said."""
        forge.header["typ"] = typ
        assert answer(verifier.verify, forge.token()) == "wrong_token_type"
        del forge.header["typ"]
        assert answer(verifier.verify, forge.token()) == "wrong_token_type"


class TestWho:
    """Issuer and audience, exactly."""

    @pytest.mark.parametrize(
        "iss", ["", ISSUER + "/", ISSUER.upper(), "http://auth.example", ISSUER + ".evil", "auth.example", " " + ISSUER]
    )
    def test_issuer(self, forge: Forge, verifier: Verifier, iss: str) -> None:
        """Not nearly the same."""
        forge.payload["iss"] = iss
        assert answer(verifier.verify, forge.token()) == "wrong_issuer"

    @pytest.mark.parametrize(
        "aud", ["Orders", "orders ", "order", "orders2", ["billing"], [""], ["order", "s"], ["orders,billing"]]
    )
    def test_audience(self, forge: Forge, verifier: Verifier, aud: object) -> None:
        """Not nearly the same, and no part of it."""
        forge.payload["aud"] = aud
        assert answer(verifier.verify, forge.token()) == "wrong_audience"

    @pytest.mark.parametrize("aud", ["orders", ["orders"], ["billing", "orders"], ["orders", "orders"]])
    def test_audience_allowed(self, forge: Forge, verifier: Verifier, aud: object) -> None:
        """A text, or a list that contains ours."""
        forge.payload["aud"] = aud
        assert answer(verifier.verify, forge.token()) == ""


class TestWhen:
    """Seconds on each side of each edge; the leeway is 2 by default."""

    @pytest.mark.parametrize(
        ("times", "code"),
        [
            ({"exp": NOW + 0.5}, ""),
            ({"iat": NOW - 100, "exp": NOW - 1}, ""),
            ({"iat": NOW - 100, "exp": NOW - 1.5}, ""),
            ({"iat": NOW - 100, "exp": NOW - 2}, "token_expired"),
            ({"iat": NOW - 100, "exp": NOW - 3}, "token_expired"),
            ({"iat": 0, "exp": 1}, "token_expired"),
            ({"iat": NOW + 2}, ""),
            ({"iat": NOW + 2.5}, "token_not_yet_valid"),
            ({"iat": NOW + 3}, "token_not_yet_valid"),
            ({"nbf": NOW + 2}, ""),
            ({"nbf": NOW + 3}, "token_not_yet_valid"),
            ({"nbf": 0}, ""),
            ({"iat": NOW + 3, "nbf": 0}, "token_not_yet_valid"),
            ({"iat": NOW, "exp": NOW + 3600}, ""),
            ({"iat": NOW, "exp": NOW + 3600.5}, "lifetime_too_long"),
            ({"iat": NOW, "exp": NOW + 3601}, "lifetime_too_long"),
            ({"iat": 0, "exp": 2**53}, "lifetime_too_long"),
            ({"iat": NOW, "exp": NOW}, "invalid_claim"),
            ({"iat": NOW, "exp": NOW - 1}, "invalid_claim"),
            ({"iat": NOW + 1, "exp": NOW}, "invalid_claim"),
        ],
    )
    def test_edges(self, forge: Forge, verifier: Verifier, times: dict[str, float], code: str) -> None:
        """Lifetime at most one hour, ``exp`` after ``iat``, neither over nor in the future."""
        forge.payload |= times
        assert answer(verifier.verify, forge.token()) == code

    def test_leeway_and_lifetime_are_settings(self, forge: Forge, keys: Mapping[str, Key]) -> None:
        """Both take effect, and the leeway does not lengthen the lifetime."""
        forge.payload |= {"iat": NOW - 100, "exp": NOW - 1}
        for leeway, code in ((0, "token_expired"), (1, "token_expired"), (1.5, "")):
            strict = Verifier(ISSUER, "orders", keys["ES256"].public, leeway=timedelta(seconds=leeway), clock=clock)
            assert answer(strict.verify, forge.token()) == code
        for longest, code in ((99, ""), (98, "lifetime_too_long")):
            short = Verifier(
                ISSUER, "orders", keys["ES256"].public, max_lifetime=timedelta(seconds=longest), clock=clock
            )
            assert answer(short.verify, forge.token()) == code

    def test_the_clock_is_read_each_time(self, keys: Mapping[str, Key], good: str) -> None:
        """A token is good until it is not."""
        now = [NOW + 301.0]
        verifier = Verifier(ISSUER, "orders", keys["ES256"].public, clock=lambda: now[0])
        assert answer(verifier.verify, good) == ""
        now[0] += 1
        assert answer(verifier.verify, good) == "token_expired"

    def test_the_system_clock_by_default(self, keys: Mapping[str, Key]) -> None:
        """Issuer and verifier agree on what time it is."""
        token = Issuer("i", keys["ES256"]).mint(subject="u", audience="a", client="c")
        assert Verifier("i", "a", keys["ES256"].public).verify(token).subject == "u"


class TestClaims:
    """What must be said; the types have their own tests."""

    @pytest.mark.parametrize("name", ["iss", "sub", "aud", "client_id", "iat", "exp", "jti"])
    def test_required(self, forge: Forge, verifier: Verifier, name: str) -> None:
        """Each of them."""
        del forge.payload[name]
        assert answer(verifier.verify, forge.token()) == "invalid_claim"

    @pytest.mark.parametrize("name", ["client_id", "jti"])
    def test_excused(self, forge: Forge, keys: Mapping[str, Key], name: str) -> None:
        """A foreign issuer may leave out what it is excused from, by name."""
        del forge.payload[name]
        lenient = Verifier(ISSUER, "orders", keys["ES256"].public, excused=[name], clock=clock)
        caller = lenient.verify(forge.token())
        assert (caller.client, caller.token_id).count(None) == 1

    @pytest.mark.parametrize("cnf", [{"jkt": "x"}, {}, None, "", False])
    def test_bound(self, forge: Forge, verifier: Verifier, cnf: object) -> None:
        """A token that is bound to a key is no bearer token, whatever the binding says."""
        forge.payload["cnf"] = cnf
        assert answer(verifier.verify, forge.token()) == "token_bound"

    def test_data_tokens_are_held_to_the_same(self, forge: Forge, verifier: Verifier) -> None:
        """Issuer, audience, times and binding of a data token are checked too."""
        forge.header["typ"] = "data+jwt"
        forge.payload["data"] = {}
        assert answer(verifier.verify_data, forge.token()) == ""
        for change, code in (
            ({"iss": "x"}, "wrong_issuer"),
            ({"aud": "x"}, "wrong_audience"),
            ({"iat": 1, "exp": 2}, "token_expired"),
            ({"cnf": {}}, "token_bound"),
            ({"data": []}, "invalid_claim"),
            ({"data": None}, "invalid_claim"),
        ):
            before = dict(forge.payload)
            forge.payload |= change
            assert answer(verifier.verify_data, forge.token()) == code
            forge.payload = before
        del forge.payload["jti"]
        assert answer(verifier.verify_data, forge.token()) == "invalid_claim"
        excusing = Verifier(ISSUER, "orders", verifier.keys, excused=["jti"], clock=clock)
        assert answer(excusing.verify_data, forge.token()) == ""


class TestWhateverComesIn:
    """Out comes a caller or a refusal."""

    @pytest.mark.parametrize("token", [None, 5, True, [], {}, bytearray(b"a.b.c"), memoryview(b"a.b.c")])
    def test_no_text_at_all(self, verifier: Verifier, token: Any) -> None:
        """Values of other types are no tokens."""
        for verify in (verifier.verify, verifier.verify_data):
            with pytest.raises(errors.Malformed):
                verify(token)

    @given(st.binary(max_size=300) | st.text(max_size=300) | st.text(ALPHABET + ".", max_size=300))
    def test_any_input(self, verifier: Verifier, token: str | bytes) -> None:
        """Bytes and texts at random are refused."""
        assert answer(verifier.verify, token)
        assert answer(verifier.verify_data, token)
        assert answer(read_unverified, token) in {"", "token_malformed"}

    @settings(max_examples=300)
    @given(st.integers(0, 2000), st.integers(0, 8), st.text(ALPHABET + "=+/. \n\x00é\ud800", max_size=8))
    def test_mutations(self, verifier: Verifier, good: str, at: int, cut: int, put: str) -> None:
        """A good token that was changed anywhere is refused; unchanged, it is not."""
        at %= len(good) + 1
        mutant = good[:at] + put + good[at + cut :]
        assert bool(answer(verifier.verify, mutant)) is (mutant != good)

    @given(
        st.dictionaries(
            st.sampled_from(["alg", "kid", "typ", "crit", "b64", "enc"]) | st.text(max_size=5), JSON, max_size=4
        )
    )
    def test_any_header(self, keys: Mapping[str, Key], verifier: Verifier, members: dict[str, object]) -> None:
        """Whatever a header holds, rightly signed."""
        forge = Forge(keys["Ed25519"])
        forge.header |= members
        meant = Forge(keys["Ed25519"]).header
        changed = any(members.get(name, value) != value for name, value in meant.items())
        assert bool(answer(verifier.verify, forge.token())) is (
            changed or not members.keys().isdisjoint({"crit", "b64", "enc"})
        )

    @settings(max_examples=200)
    @given(
        st.dictionaries(
            st.sampled_from("iss sub aud exp nbf iat jti client_id scope roles sid cnf wwd_pos".split())  # noqa: SIM905
            | st.text(max_size=5),
            JSON,
            max_size=4,
        )
    )
    def test_any_payload(self, keys: Mapping[str, Key], verifier: Verifier, claims: dict[str, object]) -> None:
        """Whatever a payload holds, rightly signed: what is accepted says what we asked for."""
        forge = Forge(keys["Ed25519"])
        forge.payload |= claims
        try:
            caller = verifier.verify(forge.token())
        except Refused as refusal:
            text = str(refusal)
        else:
            text = ""
            assert caller.issuer == ISSUER
            assert 0 < len(caller.subject) <= 255
            assert NOW - 2 < caller.expires_at <= caller.issued_at + 3600
            assert all(isinstance(role, str) for role in caller.roles)
        assert len(text) < 200

    @given(JSON, JSON)
    def test_any_json(self, keys: Mapping[str, Key], verifier: Verifier, header: object, payload: object) -> None:
        """Values of every type in the place of header and payload."""
        forge = Forge(keys["Ed25519"])
        assert answer(verifier.verify, forge.token(header=json.dumps(header)))
        assert answer(verifier.verify, forge.token(payload=json.dumps(payload)))


def test_several_audiences(keys: Mapping[str, Key]) -> None:
    """A verifier of several names takes a token that has one of them, among others or alone."""
    issuer = Issuer(ISSUER, keys["ES256"])
    verifier = Verifier(ISSUER, ["orders", "invoices"], keys["ES256"].public)
    for audience in ("orders", "invoices"):
        assert verifier.verify(issuer.mint(subject="ada", audience=audience, client="web")).subject == "ada"
    with pytest.raises(errors.WrongAudience):
        verifier.verify(issuer.mint(subject="ada", audience="billing", client="web"))


class TestVerifierSettings:
    """A verifier that would protect nothing cannot be made."""

    @pytest.mark.parametrize(
        "settings",
        [
            {"issuer": ""},
            {"issuer": None},
            {"audience": ""},
            {"audience": None},
            {"audience": []},
            {"audience": ["orders", ""]},
            {"audience": ["orders", None]},
            {"audience": b"orders"},
            {"audience": 5},
            {"issuer": 5},
            {"algorithms": iter([])},
            {"algorithms": []},
            {"algorithms": "RS256"},
            {"algorithms": ["none"]},
            {"algorithms": ["HS256"]},
            {"algorithms": ["RS256", "rs256"]},
            {"leeway": timedelta(seconds=-1)},
            {"leeway": timedelta(seconds=61)},
            {"max_lifetime": timedelta(0)},
            {"max_lifetime": timedelta(seconds=-1)},
            {"excused": ["exp"]},
            {"excused": ["wwd_pos"]},
            {"excused": "jti"},
        ],
    )
    def test_refused(self, keys: Mapping[str, Key], settings: dict[str, Any]) -> None:
        """Nobody's issuer or audience, no algorithms or unknown ones, clocks without bounds, excuses for all."""
        arguments: dict[str, Any] = {"issuer": ISSUER, "audience": "orders", "keys": keys["ES256"].public}
        with pytest.raises(ValueError, match=r"\w"):
            Verifier(**(arguments | settings))

    def test_a_minute_of_leeway(self, keys: Mapping[str, Key]) -> None:
        """The cap itself is allowed."""
        Verifier(ISSUER, "orders", keys["ES256"].public, leeway=timedelta(seconds=60))

    def test_all_algorithms(self, keys: Mapping[str, Key]) -> None:
        """Whoever names all that there are has said the default."""
        Verifier(ISSUER, "orders", keys["ES256"].public, algorithms=NAMES)

    def test_keys_are_unique(self, keys: Mapping[str, Key]) -> None:
        """Two keys of one name are refused at the start."""
        with pytest.raises(ValueError, match="two keys"):
            Verifier(ISSUER, "orders", [keys["ES256"].public] * 2)


class TestIssuer:
    """What must not be minted is not."""

    @pytest.mark.parametrize(
        "settings",
        [
            {"issuer": ""},
            {"lifetime": timedelta(0)},
            {"lifetime": timedelta(milliseconds=999)},
            {"claims": ["exp"]},
            {"claims": ["team", "wwd_pos"]},
            {"claims": ["cnf"]},
        ],
    )
    def test_settings(self, keys: Mapping[str, Key], settings: dict[str, Any]) -> None:
        """No name, no lifetime, or claims that have a meaning already."""
        arguments: dict[str, Any] = {"issuer": ISSUER, "key": keys["ES256"]}
        with pytest.raises(ValueError, match=r"\w"):
            Issuer(**(arguments | settings))

    @pytest.mark.parametrize(
        "arguments",
        [
            {"subject": ""},
            {"subject": "x" * 256},
            {"subject": "a\nb"},
            {"subject": None},
            {"subject": 5},
            {"subject": "\ud800"},
            {"audience": ""},
            {"audience": None},
            {"client": ""},
            {"client": "\x00"},
            {"client": None},
            {"roles": "editor"},
            {"roles": [5]},
            {"roles": ["\udfff"]},
            {"scope": "read"},
            {"scope": ["read write"]},
            {"scope": [""]},
            {"scope": ["é"]},
            {"scope": ['"']},
            {"scope": ["a\\b"]},
            {"scope": ["a\n"]},
            {"session": ""},
            {"session": "x" * 256},
            {"token_id": ""},
            {"token_id": "\x7f"},
            {"position": Position("", 1)},
            {"position": Position("e", -1)},
            {"position": Position("e.e", 1)},
            {"lifetime": timedelta(0)},
            {"lifetime": timedelta(seconds=-5)},
            {"issued_at": -1},
            {"issued_at": 2.0**60},
            {"issued_at": float("nan")},
            {"issued_at": float("inf")},
            {"not_before": -1},
            {"not_before": float("inf")},
            {"claims": {"other": 1}},
            {"claims": {"sub": "root"}},
            {"claims": {"roles": ["admin"]}},
            {"claims": {"team": float("nan")}},
            {"claims": {"team": "\ud800"}},
            {"claims": {"team": {1: "a", "1": "b"}}},
            {"claims": {"team": 10**5000}},
            {"claims": {"team": "x" * MAX_TOKEN_BYTES}},
        ],
    )
    def test_refused(self, issuer: Issuer, arguments: dict[str, Any]) -> None:
        """Whatever a verifier would refuse, and claims that were not declared."""
        issuer.mint(subject="u", audience="orders", client="web")
        with pytest.raises(ValueError, match=r"\w"):
            issuer.mint(**({"subject": "u", "audience": "orders", "client": "web"} | arguments))

    def test_depth(self, issuer: Issuer, verifier: Verifier) -> None:
        """An own claim as deep as a verifier reads is minted, one level more is not."""
        tree: list[object] = []
        for _ in range(30):
            tree = [tree]
        token = issuer.mint(subject="u", audience="orders", client="c", claims={"tree": tree})
        assert verifier.verify(token).claims["tree"] == tree
        with pytest.raises(ValueError, match="deeper"):
            issuer.mint(subject="u", audience="orders", client="c", claims={"tree": [tree]})

    def test_not_before(self, issuer: Issuer, verifier: Verifier) -> None:
        """``nbf`` is minted whole, and never earlier than was asked."""
        token = issuer.mint(subject="u", audience="orders", client="c", not_before=NOW - 0.5)
        assert verifier.verify(token).claims["nbf"] == NOW
        late = issuer.mint(subject="u", audience="orders", client="c", not_before=NOW + 100)
        with pytest.raises(errors.NotYetValid):
            verifier.verify(late)

    def test_a_text_of_another_class_is_its_text(self, issuer: Issuer, verifier: Verifier) -> None:
        """Frameworks have their own kinds of str; the token holds what they hold."""

        class Safe(str):
            __slots__ = ()

            def __str__(self) -> str:
                return "another text"

        token = issuer.mint(subject=Safe("ada"), audience="orders", client="web", roles=[Safe("editor")])
        caller = verifier.verify(token)
        assert caller.subject == "ada"
        assert caller.roles == {"editor"}

    def test_bytes_are_no_text(self, issuer: Issuer) -> None:
        """JSON has no bytes, and nothing is made of them."""
        for wrong in ({"subject": b"ada"}, {"roles": [b"editor"]}, {"session": b"s"}, {"audience": b"orders"}):
            with pytest.raises(ValueError, match="is not of the right type"):
                issuer.mint(**{"subject": "ada", "audience": "orders", "client": "web"} | wrong)

    def test_what_json_lacks(self, issuer: Issuer) -> None:
        """A claim of a type that has no JSON is a ``TypeError``."""
        with pytest.raises(TypeError):
            issuer.mint(subject="u", audience="orders", client="c", claims={"team": b"bytes"})

    def test_data_size(self, issuer: Issuer, verifier: Verifier) -> None:
        """4 KiB of JSON, to the byte."""
        fits = {"a": "x" * (MAX_DATA_BYTES - len('{"a":""}'))}
        token = issuer.mint_data(client="web", audience="orders", data=fits)
        assert verifier.verify_data(token).content == fits
        with pytest.raises(ValueError, match="over 4096 bytes"):
            issuer.mint_data(client="web", audience="orders", data={"a": fits["a"] + "x"})

    def test_data_is_strict(self, issuer: Issuer) -> None:
        """No repeated members, no depth beyond what is read, an object."""
        tower: list[object] = []
        for _ in range(31):
            tower = [tower]
        for data in ({1: "a", "1": "b"}, {"a": tower}, {"a": float("inf")}):
            with pytest.raises(ValueError, match=r"\w"):
                issuer.mint_data(client="web", audience="orders", data=data)  # type: ignore[arg-type]

    def test_texts_show_no_secret(self, issuer: Issuer, keys: Mapping[str, Key]) -> None:
        """The repr of an issuer shows no key."""
        assert keys["ES256"].to_jwk()["d"] not in f"{issuer!r}{issuer}"


class TestReadUnverified:
    """To look at, never to believe."""

    def test_reads(self, forge: Forge) -> None:
        """Header and payload, whoever signed and whenever."""
        forge.payload["exp"] = 1
        assert read_unverified(forge.token()) == (forge.header, forge.payload)
        assert read_unverified(forge.token().encode()[:-4] + b"AAAA") == (forge.header, forge.payload)

    @pytest.mark.parametrize("token", ["", "a.b", "e30.e30.!", "e30.W10.AA", "e30.e30.AB", "A" * (MAX_TOKEN_BYTES + 1)])
    def test_refused(self, token: str) -> None:
        """It reads what a verifier would read, as strictly."""
        assert answer(read_unverified, token) == "token_malformed"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "Ed25519"])
class TestInterop:
    """PyJWT as the witness; it does not know the newer name of EdDSA."""

    def test_ours_there(self, keys: Mapping[str, Key], name: str) -> None:
        """What we mint verifies under PyJWT."""
        issuer = Issuer(ISSUER, keys[name])
        token = issuer.mint(subject="ü-1", audience="orders", client="web", roles=["editor"], scope=["read"])
        public = jwt.PyJWK.from_dict(keys[name].public.to_jwk())
        for key in (public, keys[name].public.to_pem()):
            claims = jwt.decode(
                token,
                key,
                algorithms=[name],
                audience="orders",
                issuer=ISSUER,
                options={"require": ["exp", "iat", "jti"]},
            )
            assert (claims["sub"], claims["roles"], claims["scope"]) == ("ü-1", ["editor"], "read")

    def test_theirs_here(self, keys: Mapping[str, Key], verifier: Verifier, name: str) -> None:
        """What PyJWT signs verifies here, and not under another key."""
        forge = Forge(keys[name])
        headers = {"typ": "at+jwt", "kid": f"test-{name}"}
        token = jwt.encode(forge.payload, keys[name].to_pem(), algorithm=name, headers=headers)
        assert verifier.verify(token).subject == "u-1"
        stranger = jwt.encode(
            forge.payload,
            Key.generate("ES256").to_pem(),
            algorithm="ES256",
            headers={"typ": "at+jwt", "kid": "test-ES256"},
        )
        assert answer(verifier.verify, stranger) == "bad_signature"


def test_rfc_8037_signature() -> None:
    """The Ed25519 signature of RFC 8037 appendix A.4 verifies, and signing gives the very same bytes."""
    jwk = {
        "kty": "OKP",
        "crv": "Ed25519",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }
    signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    key = Key.from_jwk(jwk)
    assert b64url_encode(key.sign(signed)) == signature
    assert key.public.verify(b64url_decode(signature.encode()), signed)


def test_kinds(good: str, verifier: Verifier, issuer: Issuer) -> None:
    """A verifier gives the values that only verification gives."""
    assert isinstance(verifier.verify(good), Caller)
    assert isinstance(verifier.verify_data(issuer.mint_data(client="c", audience="orders", data={})), Data)
    assert isinstance(verifier.keys.find("test-ES256"), PublicKey)
    with pytest.raises(errors.Malformed):
        verifier.verify("")
