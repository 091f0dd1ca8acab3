"""The feed: one unbroken history, however it is cut into pages."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchword import Key, KeySet, Position, errors
from watchword.core.cutoffs import Cutoff, Scope
from watchword.core.feed import FeedError, KeyState, Knowledge, Page, PageEntry, PageForeign, PageKey, fold
from watchword.core.foreign import ForeignCutoff

KEYS = [Key.generate("Ed25519") for _ in range(3)]
FOREIGN = {"number": 1, "scope": "foreign", "id": "a", "reason": "signed_out"}


def page_key(number: int, state: KeyState = "current") -> PageKey:
    """The wire form of one of the keys."""
    key = KEYS[number].public
    return PageKey(key.kid, state, None if state == "withdrawn" else dict(key.to_jwk()))


def snapshot(**changes: Any) -> Page:
    """A snapshot at 10 with one cutoff, and these members instead."""
    page = Page(
        issuer="https://auth.example",
        instance="i",
        epoch="e",
        after=None,
        number=10,
        head=10,
        floor=2,
        entries=[PageEntry(5, "user", "a", "user_disabled")],
        keys=[page_key(0), page_key(1, "next")],
        cursor="c10",
    )
    return msgspec.structs.replace(page, **changes)


def news(**changes: Any) -> Page:
    """The page that goes on from there to 11, and these members instead."""
    members: dict[str, Any] = {
        "after": 10,
        "number": 11,
        "head": 11,
        "entries": [PageEntry(11, "session", "s", "session_ended")],
        "keys": None,
        "cursor": "c11",
    }
    return snapshot(**(members | changes))


def empty(**changes: Any) -> Page:
    """The page that a quiet log ends a long poll with."""
    return news(**({"number": 10, "head": 10, "entries": [], "cursor": "c10'"} | changes))


def foreign(number: int, id_: str = "a", *, scope: str = "user", before: int = 1000) -> PageEntry:
    """An entry that cuts off tokens of another issuer."""
    return PageEntry(number, "foreign", id_, "signed_out", PageForeign("https://id.example", scope, before))


def verdict(known: Knowledge, number: int, epoch: str = "e", **facts: Any) -> errors.Refused | None:
    """What `Knowledge.judge` says of a token with these facts and no others."""
    blank: dict[str, Any] = {"client": "", "roles": [], "subject": "", "session": "", "token": ""}
    return known.judge(Position(epoch, number), **(blank | facts))


def test_no_cutoff_concerns_what_was_minted_after_all_of_them() -> None:
    """At the latest cutoff's own number and beyond, a token stands whoever's it is; before it, facts decide."""
    known = fold(None, snapshot())
    assert isinstance(verdict(known, 4, subject="a"), errors.UserDisabled)
    assert verdict(known, 4, subject="b") is None
    assert [verdict(known, number, subject="a") for number in (5, 6, 11)] == [None, None, None]


@dataclass(frozen=True)
class Event:
    """One number of a log: its entry, and keys and floor once it is written."""

    entry: PageEntry
    states: tuple[KeyState | None, ...]
    floor: int


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """A log from number 1 on, in which keys come and go and the floor rises."""
    states: tuple[KeyState | None, ...] = ("current", "next", None)
    floor, events = 0, []
    for number in range(1, draw(st.integers(1, 14)) + 1):
        scope = draw(st.sampled_from([*Scope, "keys"]))
        if scope == "keys":
            states = draw(st.tuples(*[st.sampled_from([None, "next", "current", "retiring", "withdrawn"])] * 3))
        floor = max(floor, draw(st.integers(0, number)))
        id_ = "" if scope == Scope.EVERYONE else draw(st.sampled_from(["a", "b"]))
        events.append(Event(PageEntry(number, str(scope), id_, "user_disabled"), states, floor))
    return events


def page_of(log: Sequence[Event], after: int | None, number: int, head: int) -> Page:
    """What the authority answers, made from the log by its definition."""
    last = log[number - 1]
    since = log[:number] if after is None else log[after:number]
    if after is None:
        latest = {(event.entry.scope, event.entry.id): event.entry for event in since if event.entry.scope != "keys"}
        entries = [entry for entry in latest.values() if entry.number > last.floor]
    else:
        entries = [event.entry for event in since]
    changed = after is None or any(event.entry.scope == "keys" for event in since)
    members = [page_key(n, state) for n, state in enumerate(last.states) if state] if changed else None
    return snapshot(
        after=after, number=number, head=head, floor=last.floor, entries=entries, keys=members, cursor=f"c{number}"
    )


class TestModel:
    """Pages against a model of the log."""

    @settings(max_examples=150)
    @given(logs(), st.data())
    def test_pages_and_snapshot_agree(self, log: list[Event], data: st.DataObject) -> None:
        """Any sequence of pages brings the same knowledge as one snapshot at its end."""
        end = len(log)
        stops = [*sorted(data.draw(st.lists(st.integers(1, end), min_size=1, max_size=6))), end]
        known = fold(None, Page.decode(page_of(log, None, stops[0], stops[0]).encode()))
        for after, number in pairwise(stops):
            known = fold(known, Page.decode(page_of(log, after, number, end).encode()))
        fresh = fold(None, page_of(log, None, end, end))
        assert known.complete
        assert (known.number, known.floor, known.cursor) == (fresh.number, fresh.floor, fresh.cursor)
        assert known.keys.to_jwks() == fresh.keys.to_jwks()
        assert known.keys.withdrawn == fresh.keys.withdrawn
        for number in range(end + 2):
            for facts in (
                {},
                {"client": "a"},
                {"roles": ["a", "b"]},
                {"subject": "b"},
                {"session": "a"},
                {"token": "b"},
            ):
                answers = [verdict(one, number, **facts) for one in (known, fresh)]
                assert str(answers[0]) == str(answers[1])
                assert (answers[0] is not None) is dead(log, number, facts)

    @given(logs(), st.data())
    def test_nothing_else_continues(self, log: list[Event], data: st.DataObject) -> None:
        """A page from any other place of the same log is refused: what is known stays as it was."""
        end = len(log)
        at = data.draw(st.integers(1, end))
        known = fold(None, page_of(log, None, at, end))
        after = data.draw(st.integers(1, end).filter(lambda n: n != at)) if end > 1 else None
        if after is not None:
            number = data.draw(st.integers(after, end))
            with pytest.raises(FeedError):
                fold(known, page_of(log, after, number, end))
            assert known.number == at


def dead(log: Sequence[Event], number: int, facts: Mapping[str, Any]) -> bool:
    """The definition: below the floor, or an entry after the token that concerns it."""
    concerned = {("everyone", "")} | {("role", role) for role in facts.get("roles", [])}
    names = {"client": "client", "subject": "user", "session": "session", "token": "token"}
    concerned |= {(names[fact], value) for fact, value in facts.items() if fact in names}
    cut = any((event.entry.scope, event.entry.id) in concerned for event in log[number:])
    return number < log[-1].floor or cut


class TestSnapshot:
    """The first page."""

    def test_holds_all(self) -> None:
        """Number, floor, keys, cutoffs and cursor as the page gives them."""
        known = fold(None, snapshot())
        assert (known.instance, known.epoch, known.number, known.head, known.floor) == ("i", "e", 10, 10, 2)
        assert (known.cursor, known.complete) == ("c10", True)
        assert {key.kid for key in known.keys} == {KEYS[0].kid, KEYS[1].kid}
        assert list(known.cutoffs) == [Cutoff(5, Scope.USER, "a", "user_disabled")]

    def test_incomplete(self) -> None:
        """A snapshot behind the head says so."""
        assert not fold(None, snapshot(head=12)).complete

    @pytest.mark.parametrize(
        "changes",
        [
            {"keys": None},
            {"number": 11},
            {"floor": 11},
            {"entries": [PageEntry(11, "user", "a", "user_disabled")]},
            {"entries": [PageEntry(5, "planet", "a", "user_disabled")]},
            {"entries": [PageEntry(5, "everyone", "a", "everything_expired")]},
            {"entries": [PageEntry(5, "session", "", "session_ended")]},
            {"entries": [foreign(11)]},
            {"keys": [page_key(0), page_key(0)]},
            {"keys": [page_key(0), page_key(0, "withdrawn")]},
        ],
    )
    def test_refused(self, changes: dict[str, Any]) -> None:
        """Without keys, beyond its own head or number, scopes that are unknown or name the wrong ones, keys twice."""
        with pytest.raises(FeedError):
            fold(None, snapshot(**changes))

    @pytest.mark.parametrize("changes", [{"number": 9}, {"number": 9, "head": 9}, {"head": 11}])
    def test_behind_what_is_known(self, changes: dict[str, Any]) -> None:
        """Within one history a snapshot never takes back what was known, not even for a moment."""
        known = fold(None, snapshot(head=12))
        with pytest.raises(FeedError, match="behind"):
            fold(known, snapshot(**({"head": 12} | changes)))
        assert fold(known, snapshot(number=12, head=12)).number == 12

    @pytest.mark.parametrize("changes", [{"epoch": "f"}, {"instance": "j"}])
    def test_another_history(self, changes: dict[str, Any]) -> None:
        """A snapshot of another epoch or instance begins anew, whatever its numbers."""
        known = fold(None, snapshot())
        fresh = fold(known, snapshot(number=1, head=1, floor=0, entries=[], **changes))
        assert (fresh.number, len(fresh.cutoffs)) == (1, 0)

    def test_an_older_epoch(self) -> None:
        """Of two epochs of one instance the later born stands: a late answer does not bring the former one back."""
        known = fold(None, snapshot(born=2.0))
        with pytest.raises(FeedError, match="from before"):
            fold(known, snapshot(epoch="d", born=1.5))
        assert fold(known, snapshot(epoch="f", born=2.5)).epoch == "f"
        assert fold(known, snapshot(instance="j", born=1.5)).born == 1.5
        assert fold(known, news(born=2.0)).born == 2.0


class TestPages:
    """The pages after it."""

    def test_news(self) -> None:
        """A page adds its cutoffs and leaves the rest; the old knowledge is untouched."""
        old = fold(None, snapshot())
        known = fold(old, news())
        assert (known.number, known.cursor, known.keys) == (11, "c11", old.keys)
        assert {cutoff.number for cutoff in known.cutoffs} == {5, 11}
        assert {cutoff.number for cutoff in old.cutoffs} == {5}

    def test_the_floor_forgets(self) -> None:
        """Cutoffs up to the floor go once they are many, also by a page that moves only the floor; no others go."""
        entries = [PageEntry(number, "session", f"s{number}", "session_ended") for number in range(11, 2011)]
        known = fold(fold(None, snapshot()), news(number=2010, head=2010, floor=4, entries=entries))
        assert {cutoff.number for cutoff in known.cutoffs} == {5, *range(11, 2011)}
        assert verdict(known, 10, session="s2000") is not None
        for floor, alive in ((1500, range(1501, 2011)), (2010, ())):
            later = fold(known, empty(after=2010, number=2010, head=2010, floor=floor))
            assert {cutoff.number for cutoff in later.cutoffs} == set(alive)
            assert verdict(later, floor, session="s2000") is not None or not alive
            assert verdict(later, floor - 1) is not None
        many = fold(fold(None, snapshot()), news(number=2010, head=2010, floor=1600, entries=entries))
        assert {cutoff.number for cutoff in many.cutoffs} == set(range(1601, 2011))

    def test_a_key_of_the_future_spoils_no_other(self) -> None:
        """An algorithm that this guard does not know, listed first, takes none of the others with it."""
        future = PageKey("k-1", "next", {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AA", "kid": "k-1"})
        known = fold(None, snapshot(keys=[future, page_key(0), page_key(1, "next")]))
        assert [key.kid for key in known.keys] == [KEYS[0].kid, KEYS[1].kid]

    def test_quiet(self) -> None:
        """An empty page moves the cursor and costs no copy."""
        old = fold(None, snapshot())
        known = fold(old, empty())
        assert (known.number, known.cursor) == (10, "c10'")
        assert known.cutoffs is old.cutoffs

    def test_keys(self) -> None:
        """A page with keys replaces them all; an entry of scope ``keys`` is no cutoff."""
        rotated = [page_key(0, "withdrawn"), page_key(1), page_key(2, "next")]
        known = fold(fold(None, snapshot()), news(entries=[PageEntry(11, "keys", "", "withdrawn")], keys=rotated))
        assert {key.kid for key in known.keys} == {KEYS[1].kid, KEYS[2].kid}
        assert {cutoff.number for cutoff in known.cutoffs} == {5}
        with pytest.raises(errors.KeyWithdrawn):
            known.keys.find(KEYS[0].kid)

    def test_a_withdrawn_key_never_verifies(self) -> None:
        """Not even if a page still carries its JWK."""
        careless = PageKey(KEYS[0].kid, "withdrawn", dict(KEYS[0].public.to_jwk()))
        known = fold(None, snapshot(keys=[careless, page_key(1)]))
        with pytest.raises(errors.KeyWithdrawn):
            known.keys.find(KEYS[0].kid)

    def test_keys_that_are_not_understood(self) -> None:
        """A key of a newer kind, or under another's name, is not trusted, and the others serve on."""
        keys = [page_key(1), PageKey("new", "next", {"kty": "AKP"}), PageKey("other", "next", page_key(2).jwk)]
        known = fold(None, snapshot(keys=[*keys, PageKey("bare", "current", None)]))
        assert [key.kid for key in known.keys] == [KEYS[1].kid]

    @pytest.mark.parametrize(
        "page",
        [
            news(after=9),
            news(after=11, number=12, head=12, entries=[PageEntry(12, "user", "a", "user_disabled")]),
            news(epoch="f"),
            news(instance="j"),
            news(entries=[]),
            news(number=12, head=12),
            news(number=12, head=12, entries=[PageEntry(n, "user", "a", "user_disabled") for n in (12, 11)]),
            news(entries=[PageEntry(11, "user", "a", "user_disabled")] * 2),
            news(entries=[PageEntry(10, "user", "a", "user_disabled")]),
            news(head=10),
            news(floor=12),
            news(entries=[PageEntry(11, "planet", "a", "user_disabled")]),
            news(entries=[PageEntry(11, "everyone", "*", "everything_expired")]),
            news(entries=[PageEntry(11, "user", "", "user_disabled")]),
            news(entries=[PageEntry(11, "foreign", "a", "signed_out")]),
            news(entries=[PageEntry(11, "user", "a", "signed_out", PageForeign("https://id.example", "user", 5))]),
            news(entries=[foreign(11, scope="planet")]),
            news(entries=[foreign(11, scope="foreign")]),
            news(entries=[foreign(11, "", scope="user")]),
            news(entries=[foreign(11, "a", scope="everyone")]),
            news(keys=[page_key(0), page_key(0)]),
            empty(number=9),
            empty(head=9, number=9),
        ],
    )
    def test_refused(self, page: Page) -> None:
        """From elsewhere, with gaps, repeats or in disorder, going back, or with what is not understood."""
        with pytest.raises(FeedError) as why:
            fold(fold(None, snapshot()), page)
        assert len(str(why.value)) < 200

    def test_a_page_is_taken_once(self) -> None:
        """The same news again continue from elsewhere."""
        known = fold(fold(None, snapshot()), news())
        with pytest.raises(FeedError, match="elsewhere"):
            fold(known, news())

    @pytest.mark.parametrize("page", [news(floor=1), empty(floor=1), snapshot(floor=1)])
    def test_a_floor_never_falls(self, page: Page) -> None:
        """A database that has only lost that the floor was raised is followed on; the floor that is known stays."""
        known = fold(fold(None, snapshot()), page)
        assert (known.number, known.floor, known.complete) == (page.number, 2, True)

    def test_head_never_falls(self) -> None:
        """A page that has seen less of the log than the last one comes from another database, or from the past."""
        known = fold(None, snapshot(head=20))
        with pytest.raises(FeedError, match="behind"):
            fold(known, news(head=19))

    def test_nothing_is_known_without_a_snapshot(self) -> None:
        """News for nobody."""
        with pytest.raises(FeedError, match="elsewhere"):
            fold(None, news())


class TestForeign:
    """Cutoffs of other issuers' tokens travel in the same log."""

    def test_folded(self) -> None:
        """They have their places among the others, and touch no token of ours."""
        old = fold(None, snapshot(number=11, head=11, entries=[PageEntry(5, "user", "a", "user_disabled"), foreign(7)]))
        entries = [foreign(12, "b"), PageEntry(13, "session", "s", "session_ended"), foreign(14, before=900)]
        known = fold(old, news(after=11, number=14, head=14, entries=entries))
        assert [(one.id, one.before) for one in old.foreign] == [("a", 1000)]
        assert set(known.foreign) == {
            ForeignCutoff("https://id.example", Scope.USER, id_, 1000, "signed_out") for id_ in ("a", "b")
        }
        assert {cutoff.number for cutoff in known.cutoffs} == {5, 13}
        assert verdict(known, 11, subject="b") is None

    def test_the_floor_rises_by_any_page(self) -> None:
        """An empty page may bring it, also one of a replica that has lost that it was raised: it never falls."""
        known = fold(fold(None, snapshot(entries=[foreign(7)])), empty(foreign_floor=1000))
        assert (known.foreign.floor, len(known.foreign)) == (1000, 0)
        assert fold(known, empty(foreign_floor=5)).foreign is known.foreign
        assert fold(known, snapshot(foreign_floor=5)).foreign.floor == 1000

    @pytest.mark.parametrize(
        "changes", [{}, {"epoch": "f", "born": 9.0}, {"instance": "j"}, {"entries": [foreign(8, before=900)]}]
    )
    def test_no_snapshot_takes_them_back(self, changes: dict[str, Any]) -> None:
        """Of a new epoch or a new instance neither: the database may have lost what this guard has known."""
        known = fold(None, snapshot(entries=[foreign(7)]))
        after = fold(known, snapshot(**({"entries": [foreign(9, "b")]} | changes)))
        assert ("a", 1000) in {(one.id, one.before) for one in after.foreign}


class TestJudge:
    """A verified token against what is known, in the order of the checks."""

    def test_order(self) -> None:
        """Position, epoch, floor, cutoffs."""
        known = fold(None, snapshot())
        facts: dict[str, Any] = {"client": "", "roles": (), "subject": "a", "session": "", "token": ""}
        assert isinstance(known.judge(None, **facts), errors.InvalidClaim)
        assert isinstance(verdict(known, 9, "f", subject="a"), errors.FormerEpoch)
        assert isinstance(verdict(known, 1, subject="a"), errors.BelowFloor)
        assert isinstance(verdict(known, 2, subject="a"), errors.UserDisabled)
        assert isinstance(verdict(known, 4, subject="a"), errors.UserDisabled)
        assert verdict(known, 5, subject="a") is None
        assert verdict(known, 2, subject="b") is None

    def test_ahead(self) -> None:
        """A token from beyond the known head is judged as usual."""
        assert verdict(fold(None, snapshot()), 10**6, subject="a") is None

    def test_the_latest_reason_is_told(self) -> None:
        """Of several cutoffs the latest answers."""
        entries = [PageEntry(5, "user", "a", "user_disabled"), PageEntry(7, "everyone", "", "everything_expired")]
        known = fold(None, snapshot(entries=entries))
        assert isinstance(verdict(known, 4, subject="a"), errors.EverythingExpired)
        assert isinstance(verdict(known, 6, subject="b"), errors.EverythingExpired)
        assert verdict(known, 7, subject="a") is None


class TestWire:
    """The page as JSON, read strictly."""

    @pytest.mark.parametrize(
        "page",
        [
            snapshot(),
            news(),
            empty(),
            news(keys=[page_key(0, "withdrawn"), page_key(2)]),
            news(entries=[foreign(11)], foreign_floor=7),
        ],
    )
    def test_round_trip(self, page: Page) -> None:
        """Written and read again."""
        assert Page.decode(page.encode()) == page

    def test_unknown_members_are_passed_over(self) -> None:
        """A newer authority may say more."""
        assert Page.decode(json.dumps(json.loads(snapshot().encode()) | {"more": 1}).encode()) == snapshot()

    @pytest.mark.parametrize(
        "changes",
        [
            {"number": -1},
            {"number": 10**18},
            {"number": 10**30},
            {"number": True},
            {"number": "10"},
            {"number": 10.5},
            {"number": None},
            {"after": -1},
            {"head": 10**400},
            {"floor": None},
            {"entries": None},
            {"entries": [{"number": -1, "scope": "user", "id": "a", "reason": "r"}]},
            {"entries": [{"number": 1, "scope": "user", "id": 5, "reason": "r"}]},
            {"entries": [{"number": 1, "scope": "user", "id": "a"}]},
            {"entries": [FOREIGN | {"foreign": {"issuer": "", "scope": "user", "before": 5}}]},
            {"entries": [FOREIGN | {"foreign": {"issuer": "i", "scope": "user", "before": 5.5}}]},
            {"entries": [FOREIGN | {"foreign": {"issuer": "i", "scope": "user", "before": -1}}]},
            {"entries": [FOREIGN | {"foreign": {"issuer": "i", "scope": "user", "before": 2**54}}]},
            {"entries": [FOREIGN | {"foreign": {"issuer": "i", "scope": "user"}}]},
            {"keys": [{"kid": "k", "state": "x" * 500, "jwk": None}]},
            {"keys": [{"kid": "k", "state": "next", "jwk": []}]},
            {"keys": {}},
            {"cursor": None},
            {"epoch": 5},
        ],
    )
    def test_refused(self, changes: dict[str, Any]) -> None:
        """Members of other types, out of bounds, or missing; the text quotes nothing of the page."""
        document = json.loads(snapshot().encode())
        with pytest.raises(FeedError, match="not a page") as why:
            Page.decode(json.dumps(document | changes).encode())
        assert len(str(why.value)) < 200
        for name in changes:
            with pytest.raises(FeedError, match="not a page"):
                Page.decode(
                    json.dumps({member: value for member, value in document.items() if member != name}).encode()
                )

    @pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff", b"<html>", b'{"number":1,"number":2}', b"[" * 99])
    def test_not_json(self, data: bytes) -> None:
        """What a proxy may put in its place."""
        with pytest.raises(FeedError, match="not a page"):
            Page.decode(data)

    @given(st.binary(max_size=40), st.integers(0, 400), st.integers(0, 20))
    def test_any_bytes(self, junk: bytes, at: int, cut: int) -> None:
        """Whatever comes: a page or `FeedError`, and folding it gives knowledge or `FeedError`."""
        good = snapshot().encode()
        text = ""
        try:
            fold(None, Page.decode(good[:at] + junk + good[at + cut :]))
        except FeedError as why:
            text = str(why)
        assert len(text) < 200

    def test_key_sets_are_immutable_values(self) -> None:
        """Knowledge is swapped whole: none of its members can be set."""
        with pytest.raises(AttributeError):
            fold(None, snapshot()).keys = KeySet()  # type: ignore[misc]


def test_a_changed_copy_is_another_version() -> None:
    """Whoever makes knowledge out of other knowledge by hand makes another version of it."""
    known = fold(None, snapshot())
    copied = replace(known, floor=1)
    assert copied.version is not known.version
    assert known == replace(known)
    assert fold(known, empty()).version is known.version
    others = [empty(floor=3), empty(keys=[page_key(0)]), news(), snapshot(), empty(foreign_floor=3)]
    for other in [*others, news(entries=[foreign(11)])]:
        assert fold(known, other).version is not known.version
