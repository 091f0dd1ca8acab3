"""Tokens seen before: what the cache of verified tokens saves, and that it never changes an answer."""

import gc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.guard.world import AUDIENCE, EPOCH, ISSUER, World

from watchword import Caller, Guard, Refused, errors, role, signed_in
from watchword.core.encoding import b64url_encode
from watchword.core.feed import Knowledge, Page, PageKey, fold
from watchword.guard.decisions import Decision
from watchword.guard.seen import Seen, Sight
from watchword.guard.source import Known


def bearer(token: str) -> list[bytes]:
    """The usual field."""
    return [f"Bearer {token}".encode()]


def decide(guard: Guard, fields: list[bytes]) -> Caller:
    """The caller of one request; raises `Refused`."""
    caller = guard.decide(fields, signed_in, Decision("GET", "/"))
    assert caller is not None
    return caller


@pytest.fixture
def count(world: World) -> Callable[[], int]:
    """How many signatures the guard has found good so far."""
    found = 0
    known = world.known
    assert known is not None
    key = next(iter(known.knowledge.keys))
    verify = key.verify

    def counting(signature: bytes, data: bytes) -> bool:
        nonlocal found
        good = verify(signature, data)
        found += good
        return good

    key.verify = counting
    return lambda: found


class TestSecondSight:
    """What was verified once is not verified again."""

    def test_no_signature_is_checked(self, world: World, count: Callable[[], int]) -> None:
        """Neither for the same request, nor for another spelling of its field, nor where only the token came."""
        guard, token = world.guard(), world.token(roles=["editor"], session="s-1", scope=["read"])
        first = decide(guard, bearer(token))
        for fields in (bearer(token), [f"bEARER  {token} ".encode()], [f"Bearer {token}".encode()]):
            caller = decide(guard, fields)
            assert (caller.subject, caller.session) == (first.subject, "s-1")
            assert caller.roles == first.roles == {"editor"}
            assert caller.scopes == first.scopes == {"read"}
            assert caller.fingerprint == first.fingerprint
            assert caller.claims == first.claims
        assert guard.verify(token).subject == guard.verify(token.encode()).subject == "ada"
        assert guard.recheck(first).token_id == first.token_id
        assert count() == 1

    def test_not_at_hand(self, world: World, count: Callable[[], int]) -> None:
        """A token that is no more at hand is found by its digest."""
        guard, tokens = world.guard(max_cached=40), [world.token() for _ in range(20)]
        for _ in range(3):
            for token in tokens:
                guard.verify(token)
        assert count() == len(tokens)

    def test_after_news(self, world: World, count: Callable[[], int]) -> None:
        """A cutoff for somebody else costs a look at it, and no signature."""
        guard, token = world.guard(), world.token()
        for number in range(3):
            guard.verify(token)
            world.cut_off("user", f"u-{number}", "user_disabled")
        guard.verify(token)
        assert count() == 1

    def test_none(self, world: World, count: Callable[[], int]) -> None:
        """A guard that may remember nothing verifies each time."""
        guard, token = world.guard(max_cached=0), world.token()
        for _ in range(3):
            guard.verify(token)
        assert count() == 3
        with pytest.raises(ValueError, match="max_cached"):
            world.guard(max_cached=-1)

    def test_each_request_is_its_own(self, world: World) -> None:
        """Callers of one token share no value that a handler can change."""
        guard, token = world.guard(), world.token()
        one, other = guard.verify(token), guard.verify(token)
        one.claims["roles"].append("admin")
        assert one is not other
        assert other.claims["roles"] == []
        assert guard.verify(token).roles == frozenset()

    def test_another_text_is_another_token(self, world: World) -> None:
        """Whatever is changed in a token that was seen, it is verified, and refused."""
        guard, token = world.guard(), world.token()
        guard.verify(token)
        for place in range(0, len(token), 7):
            if token[place] != ".":
                other = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
                with pytest.raises(Refused):
                    guard.verify(other)
                with pytest.raises(Refused):
                    decide(guard, bearer(other))

    def test_data_tokens_are_not_callers(self, world: World) -> None:
        """A token is remembered as what it was verified as: neither kind passes for the other."""
        guard = world.guard()
        data = world.issuer.mint_data(client="web", audience=AUDIENCE, data={}, position=world.head)
        token = world.token()
        assert guard.data(data).client == "web"
        assert guard.verify(token).subject == "ada"
        with pytest.raises(errors.WrongType):
            guard.verify(data)
        with pytest.raises(errors.WrongType):
            guard.data(token)


class TestEveryTime:
    """What may have changed since the first sight is checked at each."""

    @pytest.fixture
    def guard(self, world: World) -> Guard:
        """A guard that has seen Ada's token."""
        return world.guard()

    @pytest.fixture
    def token(self, world: World, guard: Guard) -> str:
        """Ada's token, seen, and seen again."""
        token = world.token(roles=["editor"], session="s-1", token_id="t-1")
        for _ in range(3):
            decide(guard, bearer(token))
        return token

    def refused(self, guard: Guard, token: str) -> str:
        """The code, the same by each way in."""
        codes = []
        with pytest.raises(Refused) as refusal:
            guard.verify(token)
        codes.append(refusal.value.code)
        with pytest.raises(Refused) as refusal:
            decide(guard, bearer(token))
        codes.append(refusal.value.code)
        assert codes[0] == codes[1]
        return codes[0]

    def test_expiry(self, world: World, guard: Guard, token: str) -> None:
        """To the second, with the leeway; and so is the beginning, should the clock be set back."""
        begun = world.wall_time
        world.wall_time = begun + 300 + 1.9
        guard.verify(token)
        world.wall_time = begun + 300 + 2
        assert self.refused(guard, token) == "token_expired"
        world.wall_time = begun - 2
        guard.verify(token)
        world.wall_time = begun - 2.1
        assert self.refused(guard, token) == "token_not_yet_valid"

    def test_not_before(self, world: World, guard: Guard) -> None:
        """The later of iat and nbf is the beginning."""
        token = world.token(not_before=world.wall_time + 10)
        world.wall_time += 10
        guard.verify(token)
        world.wall_time -= 5
        assert self.refused(guard, token) == "token_not_yet_valid"

    @pytest.mark.parametrize(
        ("scope", "id_"),
        [
            ("user", "ada"),
            ("session", "s-1"),
            ("token", "t-1"),
            ("client", "web"),
            ("role", "editor"),
            ("everyone", ""),
        ],
    )
    def test_cutoffs(self, world: World, guard: Guard, token: str, scope: str, id_: str) -> None:
        """A cutoff of any scope is obeyed by the next request; one for others costs nothing but a look."""
        for other in ("user", "session", "token", "client", "role"):
            world.cut_off(other, "somebody-else", "token_revoked")
            decide(guard, bearer(token))
        world.cut_off(scope, id_, "token_revoked")
        assert self.refused(guard, token) == "token_revoked"
        assert self.refused(guard, token) == "token_revoked"
        decide(guard, bearer(world.token(roles=["editor"], session="s-1", token_id="t-1")))

    def turn(self, world: World, *, floor: int = 0, keys: list[PageKey] | None = None) -> None:
        """A page without entries, which continues what is known."""
        known = world.known
        assert known is not None
        number = known.knowledge.number
        page = Page(ISSUER, "i1", EPOCH, number, number, number, floor, [], keys, "c")
        world.known = Known(fold(known.knowledge, page), world.now)

    def test_a_page_that_only_raises_the_floor(self, world: World, guard: Guard, token: str) -> None:
        """The floor counts although no entry came with it."""
        world.cut_off("user", "bob", "user_disabled")
        decide(guard, bearer(token))
        self.turn(world)
        decide(guard, bearer(token))
        self.turn(world, floor=1)
        assert self.refused(guard, token) == "below_floor"

    def test_a_page_that_only_changes_keys(self, world: World, guard: Guard, token: str) -> None:
        """A key that is gone counts although no entry came with it."""
        self.turn(world, keys=[PageKey(world.key.kid, "withdrawn", None)])
        assert self.refused(guard, token) == "key_withdrawn"

    def test_floor(self, world: World, guard: Guard, token: str) -> None:
        """A floor that rises above the token."""
        world.number = 3
        world.learn(floor=2)
        assert self.refused(guard, token) == "below_floor"

    def test_epoch(self, world: World, guard: Guard, token: str) -> None:
        """Another epoch."""
        world.learn(epoch="e2")
        assert self.refused(guard, token) == "former_epoch"

    def test_keys(self, world: World, guard: Guard, token: str, keys: Any) -> None:
        """A key that was withdrawn, or that is no more listed; and the token stands again if the key comes back."""
        world.learn(withdrawn=(world.key.kid,))
        assert self.refused(guard, token) == "key_withdrawn"
        mine, world.key = world.key, keys["ES256"]
        world.learn()
        assert self.refused(guard, token) == "unknown_key"
        world.key = mine
        world.learn()
        decide(guard, bearer(token))

    def test_staleness(self, world: World, guard: Guard, token: str) -> None:
        """Knowledge that is too old, or gone; the source is told that one of ours waits."""
        world.now += 30
        decide(guard, bearer(token))
        world.now += 0.1
        wakes = world.wakes
        assert self.refused(guard, token) == errors.Stale.code
        assert world.wakes > wakes
        world.forget_everything()
        assert self.refused(guard, token) == errors.NotReady.code
        world.learn()
        decide(guard, bearer(token))

    def test_the_rule(self, world: World, token: str, guard: Guard) -> None:
        """The rule is held against the caller each time, and a request without a row is refused."""
        for rule, kind in ((role("admin"), errors.NotPermitted), (None, errors.NoRule)):
            with pytest.raises(kind):
                guard.decide(bearer(token), rule, Decision("GET", "/"))

    def test_fields(self, guard: Guard, token: str) -> None:
        """Two fields are refused although each was seen, and a list in one field was never seen."""
        for fields in (bearer(token) * 2, [f"Bearer {token}, Bearer {token}".encode()]):
            with pytest.raises(errors.AmbiguousCredentials):
                decide(guard, fields)
        for fields in ([], [token.encode()], [f"Basic {token}".encode()]):
            with pytest.raises(errors.NoToken):
                decide(guard, fields)

    def test_a_field_is_no_token(self, guard: Guard, token: str) -> None:
        """Bytes that were seen as one of the two never pass for the other."""
        guard.verify(token.encode())
        with pytest.raises(errors.NoToken):
            decide(guard, [token.encode()])
        for shown in (f"Bearer {token}", f"Bearer {token}".encode()):
            with pytest.raises(errors.Malformed):
                guard.verify(shown)


class TestBounds:
    """What is kept, how much of it, and what drives it out."""

    def test_only_what_was_accepted(self, world: World) -> None:
        """A refused token leaves nothing behind, whatever it was refused for."""
        guard, gone = world.guard(), world.token(subject="gone")
        world.cut_off("user", "gone", "user_deleted")
        header, payload, _ = world.token().split(".")
        old = world.token(issued_at=world.wall_time - 5000)
        for token in (gone, old, f"{header}.{payload}.{b64url_encode(bytes(64))}", "x", "é", "a.b.c", "x" * 70_000):
            for _ in range(2):
                with pytest.raises(Refused):
                    guard.verify(token)
        world.now += 100
        with pytest.raises(errors.Stale):
            guard.verify(world.token())
        assert len(guard._seen) == 0

    @pytest.mark.parametrize("limit", [1, 2, 3, 10, 11])
    def test_limit(self, world: World, limit: int) -> None:
        """Never more than the limit, be it odd or even, and hardly less than half of it."""
        guard = world.guard(max_cached=limit)
        for _ in range(50):
            guard.verify(world.token())
            assert len(guard._seen) <= limit
        assert len(guard._seen) >= limit // 2

    @pytest.mark.parametrize("limit", [20, 22])
    def test_at_hand(self, world: World, limit: int) -> None:
        """A quarter of the limit is at hand, and never more."""
        guard = world.guard(max_cached=limit)
        sizes = []
        for _ in range(50):
            guard.verify(world.token())
            decide(guard, bearer(world.token()))
            sizes.append((len(guard._seen._tokens), len(guard._seen._fields)))
        assert max(sizes) == (limit // 4, limit // 4)

    def test_a_padded_field_is_not_kept(self, world: World, count: Callable[[], int]) -> None:
        """What a stranger puts around a token takes none of our memory, and is answered all the same."""
        guard, token = world.guard(), world.token()
        padded = [f"Bearer {' ' * size}{token}".encode() for size in (1, 5, 100_000)]
        padded += [f"Bearer {token}{blanks}".encode() for blanks in (" ", "\t", " \t" * 500)]
        for field in padded:
            assert decide(guard, [field]).subject == "ada"
        assert not guard._seen._fields
        decide(guard, bearer(token))
        assert len(guard._seen._fields) == 1
        assert count() == 1

    def test_nothing_is_held_over_a_fork(self, world: World) -> None:
        """There is no lock that a child could inherit held."""
        kinds = {type(getattr(world.guard()._seen, name)) for name in Seen.__slots__}
        assert kinds == {dict, int, bytes}

    def test_what_is_in_use_stays(self, world: World, count: Callable[[], int]) -> None:
        """Tokens that come again stay, while five times the limit of others come once, and any amount of junk."""
        guard = world.guard(max_cached=80)
        in_use = [world.token() for _ in range(10)]
        for token in in_use:
            guard.verify(token)
        passing, header = 0, in_use[0].partition(".")[0]
        for _ in range(40):
            for token in in_use:
                guard.verify(token)
            for number in range(10):
                guard.verify(world.token())
                passing += 1
                for junk in (f"{header}.e30.{number}AAA", "junk"):
                    with pytest.raises(Refused):
                        guard.verify(junk)
        assert count() == len(in_use) + passing

    def test_the_digest_decides(self, world: World) -> None:
        """A token that Python's hash takes for another is not that other."""
        known = world.known
        assert known is not None
        guard, seen, token = world.guard(), Seen(8), world.token()
        facts = guard.verify(token)._facts
        seen.keep(token, None, Sight(guard._own, facts, known.knowledge.keys, known.knowledge.version))
        for other in (world.token(), "\ud800"):
            seen._young = {hash(other): next(iter(seen._young.values()))}
            assert seen.fetch(other, None) is None
            assert seen.token(other) is None
            assert seen.token(token) is not None

    def test_the_digest_is_keyed(self) -> None:
        """No stranger can look for two tokens of one digest, as no two guards have the same key."""
        assert Seen(8)._digest("a.b.c") != Seen(8)._digest("a.b.c")

    def test_old_knowledge_is_let_go(self, world: World) -> None:
        """What is kept about tokens holds no former knowledge alive, so that a busy log costs no memory."""
        guard = world.guard()
        tokens = []
        for number in range(30):
            tokens.append(world.token())
            guard.verify(tokens[-1])
            world.cut_off("user", f"u-{number}", "user_disabled")
        gc.collect()
        issuer_knowledge = [thing for thing in gc.get_objects() if isinstance(thing, Knowledge)]
        known = world.known
        assert known is not None
        alive = [one for one in issuer_knowledge if one.keys is known.knowledge.keys]
        assert len(alive) == 1


class TestNeverAnotherAnswer:
    """A guard with a cache and one without agree, whatever happens in between."""

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("token"), st.integers(0, 5)),
                st.tuples(st.just("cut"), st.sampled_from(["user", "session", "token", "client", "role", "everyone"])),
                st.tuples(st.just("empty page"), st.sampled_from(["same", "floor", "withdrawn", "keys"])),
                st.tuples(st.just("snapshot"), st.sampled_from(["same", "floor", "epoch", "withdrawn"])),
                st.tuples(st.just("wall"), st.sampled_from([-400, -3, -1, 1, 100, 299, 302])),
                st.tuples(st.just("age"), st.sampled_from([1, 15, 31])),
            ),
            min_size=5,
            max_size=40,
        )
    )
    def test_agree(self, keys: Any, happenings: list[tuple[str, Any]]) -> None:
        """The same code for every token after every happening."""
        world = World(keys["Ed25519"])
        guards = [world.guard(max_cached=size) for size in (0, 4, 1000)]
        tokens: list[str] = []
        for what, detail in happenings:
            happen(world, tokens, what, detail)
            for token in tokens:
                codes = {code(guard, token) for guard in guards}
                assert len(codes) == 1, (what, detail, codes)


def happen(world: World, tokens: list[str], what: str, detail: Any) -> None:
    """One thing happens in the world."""
    known = world.known
    assert known is not None
    if what == "token":
        tokens.append(world.token(subject=f"u-{detail % 2}", session=f"s-{detail % 3}", roles=["editor"][: detail % 2]))
    elif what == "cut":
        ids = {"user": "u-0", "session": "s-1", "token": "none", "client": "web", "role": "editor", "everyone": ""}
        try:
            world.cut_off(detail, ids[detail], "token_revoked")
        except ValueError:  # the log went on in another epoch
            world.learn()
    elif what == "empty page":
        knowledge = known.knowledge
        number = knowledge.number
        floor = number if detail == "floor" else knowledge.floor
        keys: list[PageKey] | None = None
        if detail in ("withdrawn", "keys"):
            state: Any = "withdrawn" if detail == "withdrawn" else "current"
            keys = [PageKey(world.key.kid, state, world.key.public.to_jwk() if detail == "keys" else None)]
        page = Page(ISSUER, "i1", knowledge.epoch, number, number, number, floor, [], keys, "c")
        world.known = Known(fold(knowledge, page), world.now)
    elif what == "snapshot":
        withdrawn = (world.key.kid,) if detail == "withdrawn" else ()
        floor, epoch = world.number if detail == "floor" else 0, "e9" if detail == "epoch" else EPOCH
        world.learn(floor=floor, epoch=epoch, withdrawn=withdrawn)
    elif what == "wall":
        world.wall_time += detail
    else:
        world.now += detail


def code(guard: Guard, token: str) -> str:
    """The code of a decision."""
    try:
        decide(guard, bearer(token))
    except Refused as refusal:
        return refusal.code
    return "allowed"
