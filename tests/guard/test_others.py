"""Tokens of other issuers at a guard: who judges which, what their names mean, and what ends them."""

import json
import math
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from tests.guard.test_connections import Echo, accepted
from tests.guard.test_guard import OLD, decide
from tests.guard.wire import Wire
from tests.guard.world import AUDIENCE, ISSUER, World

from watchword import (
    Caller,
    Guard,
    Issuer,
    Key,
    KeySet,
    OtherIssuer,
    Policy,
    Refused,
    Rule,
    owner,
    permission,
    role,
    scope,
    signed_in,
)
from watchword.core.compact import read_unverified
from watchword.core.encoding import b64url_encode
from watchword.core.feed import Page, PageEntry, PageForeign, fold
from watchword.errors import WrongIssuer
from watchword.guard import lookout
from watchword.guard.decisions import Decision
from watchword.guard.foreign_keys import KnownKeys
from watchword.guard.source import Known

PARTNER = "https://login.partner.example/realm/"


class Partner:
    """Another issuer whose keys are fixed, so that nothing is fetched."""

    def __init__(self, world: World, key: Key) -> None:
        self.world = world
        self.key = key
        self.issuer = Issuer(PARTNER, key, clock=lambda: world.wall_time)

    def other(self, **settings: Any) -> OtherIssuer:
        """How a guard is told of it."""
        given: dict[str, Any] = {"audience": AUDIENCE, "keys": self.key.public} | settings
        return OtherIssuer(PARTNER, **given)

    def token(self, *, kind: str | None = "at+jwt", claims: Mapping[str, object] | None = None, **members: Any) -> str:
        """Ada's token: another Ada. Its type and claims can be any."""
        given: dict[str, Any] = {"subject": "ada", "audience": AUDIENCE, "client": "web"} | members
        header, payload = read_unverified(self.issuer.mint(**given))
        del header["typ"]
        parts = [header if kind is None else {"typ": kind} | header, payload | dict(claims or {})]
        signed = ".".join(b64url_encode(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{b64url_encode(self.key.sign(signed.encode()))}"

    def cut_off(self, scope: str, name: str, issuer: str = PARTNER) -> None:
        """A cutoff in the log of the world, for all that was issued until now."""
        world, foreign = self.world, PageForeign(issuer, scope, int(self.world.wall_time))
        assert world.known is not None
        known = world.known.knowledge
        world.number += 1
        entry = PageEntry(world.number, "foreign", name, "signed_out", foreign)
        page = Page(ISSUER, "i1", known.epoch, known.number, world.number, world.number, 0, [entry], None, "c")
        world.known = Known(fold(known, page), world.now)

    def raise_floor(self, second: int) -> None:
        """What was cut off until then is forgotten."""
        assert self.world.known is not None
        known, number = self.world.known.knowledge, self.world.number
        page = Page(ISSUER, "i1", known.epoch, known.number, number, number, 0, [], None, "c", foreign_floor=second)
        self.world.known = Known(fold(known, page), self.world.now)

    def guard(self, **settings: Any) -> Guard:
        """A guard that takes the world's tokens and these."""
        return self.world.guard(others=[self.other(**settings)])


@pytest.fixture
def partner(world: World, keys: Mapping[str, Key]) -> Partner:
    """One beside the world's authority."""
    return Partner(world, keys["ES256"])


def refusal(guard: Guard, token: str) -> str:
    """The code of a refusal, or that there was none."""
    return decide(guard, token)


def holds(guard: Guard, token: str, rule: Rule) -> bool:
    """Whether a token's caller satisfies a rule."""
    return decide(guard, token, rule) == "allowed"


class TestWhoJudges:
    """The issuer that a token names is the only one that can vouch for it."""

    def test_both_are_taken(self, world: World, partner: Partner) -> None:
        """A guard of two takes the tokens of both, each as what it is, seen before or not."""
        guard = partner.guard()
        for _ in range(2):
            assert guard.verify(world.token()).issuer == ISSUER
            assert guard.verify(partner.token()).issuer == PARTNER
            assert decide(guard, world.token()) == decide(guard, partner.token()) == "allowed"

    def test_alone(self, partner: Partner) -> None:
        """A guard needs no authority of ours."""
        guard = Guard(audience=AUDIENCE, others=[partner.other()], clock=lambda: partner.world.wall_time)
        assert guard.verify(partner.token()).issuer == PARTNER
        assert guard.issuer is None
        for token in (partner.world.token(), partner.world.issuer.mint_data(client="web", audience="x", data={})):
            assert decide(guard, token) == "wrong_issuer"
        for token in ("a.b.c", "AAAA.e30.AAAA"):
            assert decide(guard, token) == "token_malformed"
        with pytest.raises(WrongIssuer):
            guard.data(partner.world.issuer.mint_data(client="web", audience=AUDIENCE, data={}))

    @pytest.mark.parametrize("settings", [{}, {"issuer": ISSUER, "others": ()}, {"keys": ()}, {"feed": ISSUER}])
    def test_somebody_is_trusted(self, settings: dict[str, Any], partner: Partner) -> None:
        """A guard of nobody cannot be made; nor one that has a feed or keys of an authority that it does not name."""
        if settings.get("issuer") is None:
            others = [partner.other()] if settings else []
            with pytest.raises(ValueError, match=r"name the authority|an issuer's"):
                Guard(audience=AUDIENCE, others=others, **settings)

    def test_each_is_named_once(self, partner: Partner) -> None:
        """Two issuers of one name would be two answers to one question."""
        twice = [partner.other(), partner.other()]
        with pytest.raises(ValueError, match="two issuers"):
            Guard(audience=AUDIENCE, others=twice)
        with pytest.raises(ValueError, match="two issuers"):
            Guard(PARTNER, audience=AUDIENCE, others=twice[:1])

    def test_a_shared_kid(self, world: World, keys: Mapping[str, Key]) -> None:
        """Where two issuers have keys of one name, neither can speak for the other, in either order."""
        kid = world.key.kid
        impostor = Key.from_pem(keys["ES256"].to_pem(), kid=kid)
        partner = Partner(world, impostor)
        guard = partner.guard()
        as_us = Issuer(ISSUER, impostor, clock=lambda: world.wall_time)
        as_them = Issuer(PARTNER, world.key, clock=lambda: world.wall_time)
        for _ in range(2):
            guard.verify(world.token())
            guard.verify(partner.token())
            ours = as_us.mint(subject="ada", audience=AUDIENCE, client="web", position=world.head)
            theirs = as_them.mint(subject="ada", audience=AUDIENCE, client="web")
            assert refusal(guard, ours) == refusal(guard, theirs) == "algorithm_not_allowed"

    def test_a_shared_kid_and_algorithm(self, world: World) -> None:
        """As above where even the algorithm is the same: the signature tells."""
        partner = Partner(world, Key.from_pem(Key.generate("Ed25519").to_pem(), "Ed25519", kid=world.key.kid))
        guard = partner.guard()
        guard.verify(world.token())
        guard.verify(partner.token())
        for name, key in ((ISSUER, partner.key), (PARTNER, world.key)):
            forger = Issuer(name, key, clock=lambda: world.wall_time)
            token = forger.mint(subject="ada", audience=AUDIENCE, client="web", position=world.head)
            assert refusal(guard, token) == "bad_signature"

    def test_an_unknown_issuer(self, world: World, partner: Partner, keys: Mapping[str, Key]) -> None:
        """Beside an authority it gets what it got before there were others: its key is unknown."""
        nobody = Issuer("https://nobody.example", keys["EdDSA"], clock=lambda: world.wall_time)
        token = nobody.mint(subject="ada", audience=AUDIENCE, client="web")
        assert refusal(partner.guard(), token) == refusal(world.guard(), token) == "unknown_key"

    def test_junk(self, world: World, partner: Partner) -> None:
        """What names no issuer that could be read is refused as ever."""
        head, _, signature = world.token().split(".")
        for token in ("", "a.b", "a.b.c", f"{head}..{signature}", f"{head}.e30.{signature}", ".."):
            assert refusal(partner.guard(), token) == refusal(world.guard(), token)


class TestWhatNamesMean:
    """A name of another issuer's means what a table says, and otherwise nothing."""

    def caller(self, partner: Partner, token: str, **settings: Any) -> Caller:
        """What a guard with tables of its own makes of a token."""
        tables: dict[str, Any] = {"roles": {"editor": ["orders:write"], "*": ["nothing"]}}
        return partner.world.guard(others=[partner.other(**settings)], **tables).verify(token)

    def test_nothing(self, partner: Partner) -> None:
        """Where no table says anything, an administrator there is nobody here."""
        token = partner.token(roles=["editor", "admin"], scope=["orders"], claims={"permissions": ["*", "orders:*"]})
        caller = self.caller(partner, token)
        assert (caller.roles, caller.scopes, caller.permissions) == (frozenset(), frozenset(), frozenset())
        assert not caller.may("orders:write")
        assert sorted(caller.claims["roles"]) == ["admin", "editor"]

    def test_by_tables(self, partner: Partner) -> None:
        """Each table takes their names to ours; from there on the service's own tables count."""
        token = partner.token(roles=["chief", "admin"], scope=["o.w", "x"], claims={"permissions": ["write:o", "*"]})
        caller = self.caller(
            partner,
            token,
            roles={"chief": ["editor", "reader"]},
            scopes={"o.w": ["orders"]},
            permissions={"write:o": ["orders:close"]},
        )
        assert caller.roles == {"editor", "reader"}
        assert caller.scopes == {"orders"}
        assert caller.permissions == {"orders:write", "orders:close"}

    def test_as_they_are(self, partner: Partner) -> None:
        """Under an ugly name roles and scopes that are in no table stay as they are, permissions never."""
        token = partner.token(roles=["editor", "chief"], scope=["orders"], claims={"permissions": ["*"]})
        caller = self.caller(partner, token, unsafely_keep_names=True, roles={"chief": []})
        assert caller.roles == {"editor"}
        assert caller.scopes == {"orders"}
        assert caller.permissions == {"orders:write"}

    def test_ours_keep_theirs(self, world: World, partner: Partner) -> None:
        """Another issuer's tables change nothing about our own tokens."""
        guard = partner.guard(roles={"editor": ["reader"]})
        assert guard.verify(world.token(roles=["editor"])).roles == {"editor"}
        assert guard.verify(partner.token(roles=["editor"])).roles == {"reader"}

    @pytest.mark.parametrize(
        ("where", "claims"),
        [
            ("realm_access.roles", {"realm_access": {"roles": ["chief"]}}),
            (("https://partner.example/roles",), {"https://partner.example/roles": ["chief"]}),
            (("a.b", "c"), {"a.b": {"c": "chief"}, "a": {"b": {"c": "boss"}}}),
            ("groups", {"groups": "chief"}),
            (["groups", "realm_access.roles"], {"groups": ["x"], "realm_access": {"roles": ["chief"]}}),
            (["groups", "nowhere.roles"], {"groups": ["chief", "chief"], "nowhere": None}),
        ],
    )
    def test_where_they_stand(self, partner: Partner, where: Any, claims: dict[str, Any]) -> None:
        """By a path, by one name that holds dots, or in several places."""
        token = partner.token(roles=["boss"], claims=claims)
        caller = self.caller(partner, token, roles_at=where, roles={"chief": ["editor"], "boss": ["admin"]})
        assert caller.roles == {"editor"}

    @pytest.mark.parametrize("claims", [{"groups": {"chief": 1}}, {"groups": [1]}, {"groups": 5}, {"groups": True}])
    def test_no_names(self, partner: Partner, claims: dict[str, Any]) -> None:
        """What stands there must be names, or the token is refused: half of an answer is none."""
        assert refusal(partner.guard(roles_at="groups"), partner.token(claims=claims)) == "invalid_claim"

    @pytest.mark.parametrize("claims", [{}, {"realm_access": None}, {"realm_access": ["roles"]}, {"realm_access": {}}])
    def test_nowhere(self, partner: Partner, claims: dict[str, Any]) -> None:
        """Whoever has no roles there has none."""
        caller = self.caller(partner, partner.token(claims=claims), roles_at="realm_access.roles")
        assert caller.roles == frozenset()

    def test_scopes_in_a_list(self, partner: Partner) -> None:
        """Some issuers have a list where the standard has one text."""
        token = partner.token(claims={"scp": ["o.r", "o.w"]})
        caller = self.caller(partner, token, scopes_at="scp", scopes={"o.w": ["orders"], "o.r": ["read"]})
        assert caller.scopes == {"orders", "read"}

    def test_the_client(self, partner: Partner) -> None:
        """Where the client's name stands is for the issuer to say; no other claim stands in for it."""
        token = partner.token(claims={"azp": "portal"})
        assert self.caller(partner, token, client_at="azp").client == "portal"
        assert refusal(partner.guard(client_at="cid"), token) == "invalid_claim"
        assert self.caller(partner, token, client_at="cid", excused=["client_id"]).client is None

    def test_roles_decide(self, partner: Partner) -> None:
        """Rules hold what the tables say."""
        guard = partner.world.guard(
            others=[partner.other(roles={"chief": ["editor"]}, scopes={"o": ["orders"]})],
            roles={"editor": ["orders:write"]},
        )
        token = partner.token(roles=["chief"], scope=["o"])
        for rule in (role("editor"), permission("orders:write"), scope("orders")):
            assert holds(guard, token, rule)
        for other in (role("chief"), permission("orders:close"), scope("o")):
            assert not holds(guard, token, other)

    def test_another_ada(self, world: World, partner: Partner) -> None:
        """Two issuers may call two people by one name: what is our Ada's is not theirs, nor the other way round."""
        guard = partner.guard()
        assert holds(guard, world.token(), owner("ada"))
        assert not holds(guard, partner.token(), owner("ada"))
        assert holds(guard, partner.token(), owner("ada", issuer=PARTNER))
        assert not holds(guard, world.token(), owner("ada", issuer=PARTNER))
        assert holds(guard, world.token(), owner("ada", issuer=ISSUER))
        assert not holds(guard, partner.token(), owner(None, issuer=PARTNER))


class TestHowTheyLook:
    """What another issuer's tokens must look like is said for each."""

    @pytest.mark.parametrize("kind", ["JWT", "jwt", None, "logout+jwt", "data+jwt"])
    def test_only_access_tokens(self, partner: Partner, kind: str | None) -> None:
        """ID tokens are of the type JWT: it is not taken unless it is asked for."""
        assert refusal(partner.guard(), partner.token(kind=kind)) == "wrong_token_type"

    def test_other_types(self, partner: Partner) -> None:
        """A type that was asked for by name, in any spelling, or none at all."""
        guard = partner.guard(types=["JWT", ""])
        for kind in ("JWT", "jwt", "application/jwt", None):
            assert refusal(guard, partner.token(kind=kind)) == "allowed"
        assert refusal(guard, partner.token()) == "wrong_token_type"

    @pytest.mark.parametrize(
        "claims",
        [{name: "x"} for name in ("at_hash", "c_hash", "s_hash", "nonce", "events", "typ", "token_use")],
    )
    def test_no_id_tokens(self, partner: Partner, claims: dict[str, Any]) -> None:
        """What the payload shows to be of another kind is no access token, whatever the header says."""
        guard = partner.guard(types=["at+jwt", "JWT"])
        for kind in ("at+jwt", "JWT"):
            assert refusal(guard, partner.token(kind=kind)) == "allowed"
            assert refusal(guard, partner.token(kind=kind, claims=claims)) == "wrong_token_type"

    def test_audiences(self, partner: Partner) -> None:
        """This service may have several names there, and each token has one of them."""
        guard = partner.guard(audience=["urn:orders", "urn:invoices"])
        for audience in ("urn:orders", "urn:invoices"):
            assert refusal(guard, partner.token(audience=audience)) == "allowed"
        assert refusal(guard, partner.token()) == "wrong_audience"
        assert refusal(guard, partner.world.token()) == "allowed"

    def test_lifetimes_leeway_and_algorithms(self, world: World, partner: Partner) -> None:
        """Each issuer has its own."""
        long = partner.token(lifetime=timedelta(hours=2))
        early = partner.token(issued_at=world.wall_time + 15)
        assert (refusal(partner.guard(), long), refusal(partner.guard(), early)) == (
            "lifetime_too_long",
            "token_not_yet_valid",
        )
        guard = partner.guard(max_lifetime=timedelta(hours=2), leeway=timedelta(seconds=20), algorithms=["ES256"])
        assert refusal(guard, long) == refusal(guard, early) == "allowed"
        assert refusal(partner.guard(algorithms=["RS256"]), partner.token()) == "algorithm_not_allowed"

    def test_expiry(self, world: World, partner: Partner) -> None:
        """Seen before or not, it ends."""
        guard, token = partner.guard(), partner.token(lifetime=timedelta(seconds=60))
        assert refusal(guard, token) == "allowed"
        world.wall_time += 63
        assert refusal(guard, token) == "token_expired"

    def test_a_position_is_ignored(self, world: World, partner: Partner) -> None:
        """Whatever another issuer says about our log says nothing."""
        guard = partner.guard()
        for position in ("no position", f"{world.head}", 5):
            caller = guard.verify(partner.token(claims={"wwd_pos": position}))
            assert caller.position is None
            assert world.wakes == 0


class TestWhatEndsThem:
    """Revocation holds for tokens of other issuers too, by the log of our authority."""

    @pytest.mark.parametrize(
        ("scope", "name"),
        [("user", "ada"), ("client", "web"), ("session", "s-1"), ("token", "t-1"), ("role", "chief"), ("everyone", "")],
    )
    def test_a_cutoff(self, world: World, partner: Partner, scope: str, name: str) -> None:
        """What was issued up to that second is dead, seen before or not; what comes after, and a leeway, stands."""
        guard = partner.guard()
        old = partner.token(session="s-1", roles=["chief"], token_id="t-1")
        ours = world.token(roles=["chief"], session="s-1")
        assert [refusal(guard, token) for token in (old, ours)] == ["allowed"] * 2
        partner.cut_off(scope, name)
        world.wall_time += 3
        new = partner.token(session="s-1", roles=["chief"], token_id="t-1")
        assert [refusal(guard, token) for token in (old, new, ours)] == ["signed_out", "allowed", "allowed"]
        assert refusal(partner.guard(), old) == "signed_out"

    @pytest.mark.parametrize("seconds", [2, 30])
    def test_a_clock_that_is_ahead(self, world: World, partner: Partner, seconds: int) -> None:
        """An issuer may date its tokens later by the leeway: what it issued before a cutoff falls all the same."""
        guard = partner.guard(leeway=timedelta(seconds=seconds))
        token = partner.token(issued_at=world.wall_time + seconds)
        assert refusal(guard, token) == "allowed"
        partner.cut_off("user", "ada")
        assert refusal(guard, token) == "signed_out"
        assert refusal(partner.guard(leeway=timedelta(seconds=seconds)), token) == "signed_out"
        world.wall_time += 1
        assert refusal(guard, partner.token(issued_at=world.wall_time + seconds)) == "allowed"

    def test_the_floor(self, world: World, partner: Partner) -> None:
        """It stands for cutoffs that are forgotten, and refuses what they did."""
        guard, token = partner.guard(), partner.token(issued_at=world.wall_time + 2)
        assert refusal(guard, token) == "allowed"
        partner.raise_floor(int(world.wall_time))
        assert refusal(guard, token) == refusal(partner.guard(), token) == "below_floor"
        world.wall_time += 3
        assert refusal(guard, partner.token()) == "allowed"

    def test_somebody_else(self, world: World, partner: Partner) -> None:
        """A cutoff for another issuer's Ada, or for another subject, concerns nobody here."""
        guard, token = partner.guard(), partner.token()
        partner.cut_off("user", "ada", "https://elsewhere.example")
        partner.cut_off("user", "bob")
        world.cut_off("user", "ada", "credentials_changed")
        assert refusal(guard, token) == "allowed"

    def test_knowledge_must_be_young(self, world: World, partner: Partner) -> None:
        """Without the authority's news a revoked token could not be told, so that there is no verdict."""
        guard, token = partner.guard(), partner.token()
        assert refusal(guard, token) == "allowed"
        world.now += OLD
        assert refusal(guard, token) == "guard_stale"
        assert world.wakes == 1, "somebody waits"
        assert decide(guard, token, signed_in.unsafely_accept_stale()) == "allowed"
        assert decide(guard, token, signed_in.within(timedelta(minutes=1))) == "allowed"
        world.learn()
        assert refusal(guard, token) == "allowed"
        world.forget_everything()
        assert refusal(guard, token) == "guard_not_ready"

    def test_within(self, world: World, partner: Partner) -> None:
        """A rule with a bound of its own holds for them as for ours."""
        guard, token = partner.guard(), partner.token()
        world.now += 10
        assert decide(guard, token, signed_in.within(timedelta(seconds=5))) == "guard_stale"
        assert refusal(guard, token) == "allowed"

    def test_recheck(self, world: World, partner: Partner) -> None:
        """Work that goes on asks again."""
        guard = partner.guard()
        caller = guard.verify(partner.token())
        guard.recheck(caller)
        partner.cut_off("user", "ada")
        with pytest.raises(Refused):
            guard.recheck(caller)


class TestOpenConnections:
    """What another issuer's token has opened ends with it."""

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Clocks and keys are looked at often."""
        monkeypatch.setattr(lookout, "TICK", 0.01)

    async def test_a_cutoff_closes(self, world: World, partner: Partner) -> None:
        """Theirs, and nobody else's."""
        wall = partner.guard().asgi(Echo(), Policy(("GET", "/**", signed_in)))
        tokens = [partner.token(), partner.token(subject="bob"), world.token()]
        async with Wire(wall, tokens[0]) as ada, Wire(wall, tokens[1]) as bob, Wire(wall, tokens[2]) as ours:
            for wire in (ada, bob, ours):
                await accepted(wire)
            partner.cut_off("user", "ada")
            assert await ada.hear() == {"type": "websocket.close", "code": 3000, "reason": "signed_out"}
            for wire in (bob, ours):
                wire.text("still here")
                assert (await wire.hear())["text"] == "still here"

    async def test_whom_a_cutoff_concerns(self, world: World, partner: Partner, keys: Mapping[str, Key]) -> None:
        """Only those are judged anew, however many are connected; all of an issuer, or of all, where that is said."""
        third = OtherIssuer("https://third.example", audience=AUDIENCE, keys=keys["RS256"].public)
        issuer = Issuer(third.issuer, keys["RS256"], clock=lambda: world.wall_time)
        guard = world.guard(others=[partner.other(), third])
        wall = guard.asgi(Echo(), Policy(("GET", "/**", signed_in)))
        tokens = [
            partner.token(roles=["chief"]),
            partner.token(subject="bob"),
            issuer.mint(subject="ada", audience=AUDIENCE, client="web"),
            world.token(),
        ]
        async with AsyncExitStack() as wires:
            for token in tokens:
                await accepted(await wires.enter_async_context(Wire(wall, token)))
            (looks,) = guard.lookouts._on.values()

            def concerned(change: Callable[[], object]) -> set[str]:
                assert world.known is not None
                before = world.known.knowledge
                change()
                touched = {watch.facts for watch in looks._touched(before, world.known.knowledge)}
                return {f"{facts.subject} {facts.issuer}" for facts in touched}

            def users(*names: str) -> None:
                for name in names:
                    partner.cut_off("user", name)

            ada, bob, other = f"ada {PARTNER}", f"bob {PARTNER}", f"ada {third.issuer}"
            assert concerned(lambda: partner.cut_off("user", "ada")) == {ada}
            assert concerned(lambda: partner.cut_off("user", "ada", PARTNER.rstrip("/"))) == {ada}
            assert concerned(lambda: partner.cut_off("role", "chief")) == {ada}
            assert concerned(lambda: partner.cut_off("client", "web", third.issuer)) == {other}
            assert concerned(lambda: partner.cut_off("user", "ada", "https://elsewhere.example")) == set()
            assert concerned(lambda: partner.cut_off("everyone", "")) == {ada, bob}
            assert concerned(lambda: users("bob", "ada")) == {ada, bob}
            assert concerned(lambda: users(*map(str, range(99)))) == {ada, bob, other}
            assert concerned(lambda: partner.raise_floor(int(world.wall_time) - 9)) == {ada, bob, other}

    async def test_a_removed_key_closes(self, world: World, partner: Partner, keys: Mapping[str, Key]) -> None:
        """What was signed with a key that is gone has nothing open any more."""
        guard = partner.guard()
        wall = guard.asgi(Echo(), Policy(("GET", "/**", signed_in)))
        async with Wire(wall, partner.token()) as theirs, Wire(wall, world.token()) as ours:
            await accepted(theirs)
            await accepted(ours)
            guard._others._keys[0].known = KnownKeys(KeySet([keys["RS256"].public]), math.inf)
            assert await theirs.hear() == {"type": "websocket.close", "code": 3000, "reason": "unknown_key"}
            ours.text("still here")
            assert (await ours.hear())["text"] == "still here"

    async def test_old_keys_close(self, partner: Partner) -> None:
        """As does what nobody can vouch for any more."""
        guard = partner.guard()
        async with Wire(guard.asgi(Echo(), Policy(("GET", "/**", signed_in))), partner.token()) as theirs:
            await accepted(theirs)
            guard._others._keys[0].known = KnownKeys(KeySet([partner.key.public]), -math.inf)
            assert await theirs.hear() == {"type": "websocket.close", "code": 1013, "reason": "guard_stale"}


class TestWhatIsTold:
    """Status and audit line."""

    def test_status(self, partner: Partner) -> None:
        """Each issuer has its own."""
        (told,) = partner.guard().status().others
        assert (told.issuer, told.fresh, told.staleness, told.keys) == (PARTNER, True, 0, [partner.key.kid])
        assert (told.last_error, told.ambiguous) == (None, [])
        assert partner.world.guard().status().others == ()

    def test_the_audit_line(self, world: World, partner: Partner) -> None:
        """It says whose Ada it was, where she is not ours."""
        for token, issuer in ((world.token(), None), (partner.token(), PARTNER)):
            decision = Decision("GET", "/")
            partner.guard().decide([f"Bearer {token}".encode()], signed_in, decision)
            assert decision._fields("allowed", None, None)["issuer"] == issuer
