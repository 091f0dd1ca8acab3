"""Cutoffs for other issuers' tokens: made, handed out, forgotten without being taken back, safe from lost history."""

import asyncio
import random
from datetime import timedelta
from typing import Any, Final

import msgspec
import pytest
from httpx2 import AsyncClient
from sqlalchemy import select, update
from tests.authority.helpers import Headers, Json, bearer, code, good

from watchword import Guard, Issuer, Key, OtherIssuer
from watchword.authority.authority import Authority
from watchword.authority.database import clock
from watchword.authority.housekeeping import keep_house
from watchword.authority.log import foreign
from watchword.authority.log.cut import cut_token
from watchword.authority.log.foreign import append_foreign, forget_foreign, raise_foreign_floor
from watchword.authority.log.head import forget_below_floor, raise_floor, read_head
from watchword.authority.operator import operator_token
from watchword.authority.recover import keep_history, recover
from watchword.authority.schema import audit, entries, foreign_cutoffs, head
from watchword.core.cutoffs import Scope
from watchword.core.feed import FOREIGN, Knowledge, PageEntry, PageForeign, fold
from watchword.core.foreign import ForeignCutoff
from watchword.core.verifier import MAX_LEEWAY
from watchword.errors import Refused
from watchword.guard.follower import MAX_PAGE_BYTES

pytestmark = pytest.mark.both_databases

ELSEWHERE: Final = "https://id.example/realms/a"
_AHEAD: Final = int(MAX_LEEWAY.total_seconds())
_DAY: Final = 86400


async def _revoke(
    http: AsyncClient, operator: Headers, scope: str = "user", id_: str | None = "f-1", **more: Any
) -> Json:
    named = {} if id_ is None else {"id": id_}
    body = {"issuer": ELSEWHERE, "scope": scope} | named | more
    answer: Json = good(await http.post("/admin/revocations/foreign", json=body, headers=operator))
    return answer


async def _learn(authority: Authority, known: Knowledge | None = None) -> Knowledge:
    """What a guard knows that asks now."""
    after = authority.reader.cursor(known.cursor) if known else None
    return fold(known, (await authority.reader.read(after)).page)


def _judge(known: Knowledge, issued_at: float, issuer: str = ELSEWHERE, **facts: Any) -> str:
    blank: dict[str, Any] = {"subject": "", "client": "", "session": "", "roles": (), "token": ""}
    refusal: Refused | None = known.foreign.judge(issuer, issued_at=issued_at, **(blank | facts))
    return "ok" if refusal is None else refusal.code


async def _now(authority: Authority) -> float:
    async with authority.database.reading() as connection:
        return await clock(connection)


async def _cut(authority: Authority, *befores: int) -> None:
    """Cutoffs of one user each, whatever the time is."""
    async with authority.changing() as connection:
        cutoffs = [ForeignCutoff(ELSEWHERE, Scope.USER, f"u{at}", at, "signed_out") for at in befores]
        await append_foreign(connection, cutoffs)


async def _count(authority: Authority) -> int:
    async with authority.database.reading() as connection:
        return len((await connection.execute(select(foreign_cutoffs.c.position))).all())


@pytest.mark.parametrize(
    ("scope", "fact", "dies"),
    [
        ("everyone", {}, "everything_expired"),
        ("client", {"client": "f-1"}, "client_revoked"),
        ("role", {"roles": ["f-1"]}, "roles_changed"),
        ("user", {"subject": "f-1"}, "signed_out"),
        ("session", {"session": "f-1"}, "session_ended"),
        ("token", {"token": "f-1"}, "token_revoked"),
    ],
)
async def test_each_scope_reaches_the_guards(
    http: AsyncClient, operator: Headers, authority: Authority, scope: str, fact: Json, dies: str
) -> None:
    """By a page and by a snapshot alike, for the issuer that was named; ours have nothing to do with it."""
    earlier = await _learn(authority)
    began = await _now(authority)
    answer = await _revoke(http, operator, scope, None if scope == "everyone" else "f-1")
    assert began <= answer["before"] <= await _now(authority) + 1
    for known in (await _learn(authority, earlier), await _learn(authority)):
        assert answer["position"] == f"{known.epoch}.{known.number}"
        assert known.number == earlier.number + 1
        assert _judge(known, began, **fact) == dies
        assert _judge(known, answer["before"] + 0.5, **fact) == "ok"
        assert _judge(known, began, "https://another.example", **fact) == "ok"
        assert list(known.cutoffs) == []
    assert good(await http.get("/admin/revocations", headers=operator))["items"] == []
    status = good(await http.get("/admin/status", headers=operator))
    assert (status["cutoffs"], status["foreign_cutoffs"]) == (0, 1)


async def test_they_are_listed_newest_first_and_audited(http: AsyncClient, operator: Headers) -> None:
    """With the second up to which they reach; the line in the audit log says whose, by whom and up to when."""
    for number in range(3):
        await _revoke(http, operator, "token", f"t{number}", before=1000 + number)
    await _revoke(http, operator, "everyone", None, before=7)
    first = good(await http.get("/admin/revocations/foreign?limit=2", headers=operator))
    query = {"after": first["next"]}
    rest = good(await http.get("/admin/revocations/foreign", params=query, headers=operator))
    shown = [(one["scope"], one["id"], one["before"], one["reason"]) for one in first["items"] + rest["items"]]
    assert shown == [
        ("everyone", "", 7, "everything_expired"),
        *[("token", f"t{number}", 1000 + number, "token_revoked") for number in (2, 1, 0)],
    ]
    assert {one["issuer"] for one in first["items"]} == {ELSEWHERE}
    lines = good(await http.get("/admin/audit?action=revoke_foreign", headers=operator))["items"]
    told = [(line["actor"], line["target"], line["detail"]) for line in lines[:2]]
    assert told == [
        ("operator", ELSEWHERE, f"everyone of {ELSEWHERE}, issued up to 7"),
        ("operator", "t2", f"token of {ELSEWHERE}, issued up to 1002"),
    ]


async def test_an_earlier_second_takes_nothing_back(http: AsyncClient, operator: Headers, authority: Authority) -> None:
    """Whoever revokes again with an earlier ``before`` never weakens what was revoked."""
    for before in (1000, 900):
        await _revoke(http, operator, before=before)
    assert _judge(await _learn(authority), 950, subject="f-1") == "signed_out"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"issuer": None}, "issuer"),
        ({"issuer": ""}, "issuer"),
        ({"issuer": "id.example"}, "issuer"),
        ({"issuer": "ftp://id.example"}, "issuer"),
        ({"issuer": "https://"}, "issuer"),
        ({"issuer": "https://[::1"}, "issuer"),
        ({"issuer": "https://id.example?a=b"}, "issuer"),
        ({"issuer": "https://id.example#a"}, "issuer"),
        ({"issuer": f"https://id.example/{'x' * 255}"}, "issuer"),
        ({"issuer": "http://127.0.0.1:8000"}, "issuer"),
        ({"issuer": "http://127.0.0.1:8000/"}, "issuer"),
        ({"scope": "foreign"}, "scope"),
        ({"scope": "everyone"}, "id"),
        ({"id": None}, "id"),
        ({"id": ""}, "id"),
        ({"id": "x" * 256}, "id"),
        ({"before": -1}, "before"),
        ({"before": 5.5}, "before"),
        ({"before": 1795457813000}, "before"),
        ({"before": 2**53 + 1}, "before"),
    ],
)
async def test_what_cannot_be_revoked_moves_nothing(
    http: AsyncClient, operator: Headers, authority: Authority, changes: Json, field: str
) -> None:
    """No issuer, our own, a wrong scope, a missing or needless id, milliseconds: refused, and nothing is written."""
    body = {"issuer": ELSEWHERE, "scope": "user", "id": "f-1"} | changes
    answer = await http.post("/admin/revocations/foreign", json=body, headers=operator)
    assert (answer.status_code, code(answer), answer.json()["field"]) == (422, "invalid_field", field)
    assert (await _learn(authority)).number == 0
    assert await _count(authority) == 0


async def test_the_future_is_allowed_as_far_as_guards_allow_it(
    http: AsyncClient, operator: Headers, authority: Authority
) -> None:
    """Another issuer's clock may be ahead by the largest leeway that a guard can have; and no further."""
    ahead = int(await _now(authority)) + _AHEAD
    assert (await _revoke(http, operator, before=ahead))["before"] == ahead
    body = {"issuer": ELSEWHERE, "scope": "user", "id": "f-1", "before": ahead + 30}
    assert code(await http.post("/admin/revocations/foreign", json=body, headers=operator)) == "invalid_field"


async def test_only_an_administrator_may(http: AsyncClient) -> None:
    """The wall's own row, as for every other revocation."""
    body = {"issuer": ELSEWHERE, "scope": "everyone"}
    for answer in (
        await http.post("/admin/revocations/foreign", json=body),
        await http.get("/admin/revocations/foreign"),
    ):
        assert code(answer) == "no_token"


async def test_a_guard_refuses_and_lets_in_again(http: AsyncClient, operator: Headers, authority: Authority) -> None:
    """The whole way, from the administrator's request to the guard's decision; and the same over a recovery."""
    key, now = Key.generate("ES256"), int(await _now(authority))
    elsewhere = Issuer(ELSEWHERE, key)
    other = OtherIssuer(ELSEWHERE, audience="orders", keys=key.public, leeway=timedelta())
    us = authority.settings.issuer
    guard = Guard(us, audience="orders", source=authority.source, others=[other], clock=lambda: now + 90.0)

    def said(issued_at: int, subject: str = "f-1") -> str:
        token = elsewhere.mint(subject=subject, audience="orders", client="web", issued_at=issued_at)
        try:
            return guard.verify(token).subject
        except Refused as why:
            return why.code

    assert [said(now), said(now, "f-2")] == ["f-1", "f-2"]
    before = (await _revoke(http, operator))["before"]
    assert [said(before), said(before, "f-2"), said(before + 1)] == ["signed_out", "f-2", "f-1"]
    await recover(authority)
    floor = (await _learn(authority)).foreign.floor
    assert [said(floor), said(floor, "f-2"), said(floor + 1, "f-2")] == ["below_floor", "below_floor", "f-2"]


class _Life:
    """What may happen to cutoffs between two questions of a guard, as the dice have it."""

    def __init__(self, authority: Authority, dice: random.Random, now: int) -> None:
        self._authority = authority
        self._dice = dice
        self._now = now
        self.told: dict[str, int] = {}
        """Up to when each user's tokens are revoked."""

    async def revoke(self) -> None:
        cutoffs = []
        for _ in range(self._dice.randint(1, 3)):
            user, before = self._dice.choice("abc"), self._now - self._dice.randrange(60)
            self.told[user] = max(before, self.told.get(user, 0))
            cutoffs.append(ForeignCutoff(ELSEWHERE, Scope.USER, user, before, "signed_out"))
        async with self._authority.changing() as connection:
            await append_foreign(connection, cutoffs)

    async def revoke_ours(self) -> None:
        async with self._authority.changing() as connection:
            await cut_token(connection, "t")

    async def raise_it(self) -> None:
        async with self._authority.changing() as connection:
            await raise_foreign_floor(connection, self._dice.randrange(20, 80), 0)

    async def forget(self) -> None:
        async with self._authority.changing() as connection:
            await forget_foreign(connection)

    async def forget_entries(self) -> None:
        async with self._authority.changing() as connection:
            number = self._dice.randint(0, (await read_head(connection)).number)
            await connection.execute(update(entries).where(entries.c.position <= number).values(at=0.0))
            await raise_floor(connection, 0)
            await forget_below_floor(connection)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_forgotten_nothing_that_was_revoked_stands(authority: Authority, seed: int) -> None:
    """Housekeeping in any order, and guards that ask now and then or begin anew: each refuses what was revoked before
    it asked, and nothing but that and what lies below the floor.
    """
    dice, now = random.Random(seed), int(await _now(authority))
    life, guards = _Life(authority, dice, now), dict[int, Knowledge | None]()
    for _ in range(60):
        await dice.choice(
            [life.revoke, life.revoke, life.revoke_ours, life.raise_it, life.forget, life.forget_entries]
        )()
        which = dice.randrange(3)
        known = guards[which] = await _learn(authority, dice.choice([guards.get(which)] * 5 + [None]))
        floor = known.foreign.floor
        assert floor <= max(life.told.values(), default=0)
        for user in "abcd":
            reach = max(life.told.get(user, 0), floor)
            for at in (now - 70, now - 40, now - 20, reach, reach + 1, floor, floor + 1):
                assert (_judge(known, at, subject=user) != "ok") is (at <= reach > 0), (user, at)


async def test_those_of_many_administrators_at_once_all_arrive(
    http: AsyncClient, operator: Headers, authority: Authority
) -> None:
    """Beside revocations of our own: each has a place in the log, and a guard in the middle of it misses none."""
    known = await _learn(authority)
    ours = [
        http.post("/admin/revocations", json={"scope": "token", "id": f"t{n}"}, headers=operator) for n in range(10)
    ]
    theirs = [_revoke(http, operator, "user", f"u{number}") for number in range(20)]
    work = asyncio.gather(asyncio.gather(*theirs), asyncio.gather(*ours))
    while not work.done():
        known = await _learn(authority, known)
    answers, _ = await work
    known = await _learn(authority, known)
    assert known.number == 30
    assert len({answer["position"] for answer in answers}) == 20
    assert {one.id: one.before for one in known.foreign} == {f"u{n}": answers[n]["before"] for n in range(20)}


class TestForgetting:
    """The floor in time refuses whatever it lets be forgotten."""

    async def test_nothing_is_refused_where_nothing_is_to_be_forgotten(
        self, http: AsyncClient, operator: Headers, authority: Authority
    ) -> None:
        """No cutoffs, or young ones: the floor stays at 0, however long tokens live."""
        await keep_house(authority)
        await _revoke(http, operator)
        await keep_house(authority)
        known = await _learn(authority)
        assert (known.foreign.floor, len(known.foreign)) == (0, 1)
        assert _judge(known, 1, subject="f-2") == "ok"

    async def test_it_rises_over_what_has_expired_and_no_further(self, authority: Authority) -> None:
        """Up to the last cutoff whose tokens must all have expired; what is younger stays."""
        now = int(await _now(authority))
        old, young = now - _DAY - 1000, now - _DAY
        await _cut(authority, old - 5, old, young)
        async with authority.database.writing() as connection:
            assert await raise_foreign_floor(connection, _DAY, 1100) is None
            assert await raise_foreign_floor(connection, _DAY, 900) == old
            assert await raise_foreign_floor(connection, _DAY, 900) is None
            assert (await read_head(connection)).foreign_floor == old
        known = await _learn(authority)
        assert [one.before for one in known.foreign] == [young]
        assert [_judge(known, at, "https://any.example") for at in (old, old + 1)] == ["below_floor", "ok"]

    async def test_a_row_stays_while_a_page_may_name_it(self, authority: Authority) -> None:
        """A guard that has not heard of the entry yet goes on from where it was, though the row is needless."""
        behind = await _learn(authority)
        await _cut(authority, 1000)
        await keep_house(authority)
        assert await _count(authority) == 1
        known = await _learn(authority, behind)
        assert (known.number, known.foreign.floor, len(known.foreign)) == (1, 1000, 0)
        async with authority.database.writing() as connection:
            await connection.execute(update(entries).values(at=0.0))
        await keep_house(authority)
        assert await _count(authority) == 0
        assert _judge(await _learn(authority), 1000) == "below_floor"

    async def test_it_outlives_its_entry(self, authority: Authority) -> None:
        """Tokens of other issuers may live longer than ours: the log forgets the entry, snapshots still have it."""
        now = int(await _now(authority))
        await _cut(authority, now)
        async with authority.changing() as connection:
            await cut_token(connection, "t")
            await connection.execute(update(entries).values(at=0.0))
            assert await raise_floor(connection, 0) == 2
            assert await forget_below_floor(connection) == 1
            assert await forget_foreign(connection) == 0
        assert _judge(await _learn(authority), now, subject=f"u{now}") == "signed_out"

    async def test_too_many_raise_it_too(self, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
        """Guards hold only so many: the oldest are refused with everything that was issued before them."""
        monkeypatch.setattr(foreign, "MOST_FOREIGN", 2)
        now = int(await _now(authority))
        await _cut(authority, *(now - 10 * age for age in range(4)))
        await keep_house(authority)
        known = await _learn(authority)
        assert (known.foreign.floor, sorted(one.before for one in known.foreign)) == (now - 20, [now - 10, now])

    async def test_too_much_text_raises_it_too(self, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
        """A guard reads only so many bytes: few long names count as many. What is below the floor is not counted."""
        now = int(await _now(authority))
        await _cut(authority, *(now - 10 * age for age in range(4)))
        one = len(ELSEWHERE) + len(f"u{now}")
        for most, floor in ((4 * one, 0), (4 * one - 1, now - 30), (3 * one, now - 30), (3 * one - 1, now - 20)):
            monkeypatch.setattr(foreign, "MOST_CHARACTERS", most)
            await keep_house(authority)
            assert (await _learn(authority)).foreign.floor == floor

    def test_the_longest_that_are_kept_fit_into_what_a_guard_reads(self) -> None:
        """Whatever is named, by characters of four bytes: a quarter of it is left for what else a snapshot says."""
        assert 4 * foreign.MOST_CHARACTERS + 160 * foreign.MOST_FOREIGN < 0.75 * MAX_PAGE_BYTES
        longest = PageEntry(10**18 - 1, FOREIGN, "", "credentials_changed", PageForeign("", "everyone", 2**53))
        assert len(msgspec.json.encode(longest)) <= 160

    async def test_a_snapshot_has_the_latest_of_each_name_alone(self, authority: Authority) -> None:
        """The later of two seconds, whichever came last; of two at the same second one. Other names are other rows."""
        names = [("a", 1000), ("a", 1200), ("a", 1100), ("b", 900), ("b", 900), ("c", 800)]
        cutoffs = [ForeignCutoff(ELSEWHERE, Scope.USER, id_, before, "signed_out") for id_, before in names]
        others = [
            ForeignCutoff(ELSEWHERE, Scope.ROLE, "a", 700, "roles_changed"),
            ForeignCutoff("https://another.example", Scope.USER, "a", 600, "signed_out"),
        ]
        async with authority.changing() as connection:
            await append_foreign(connection, cutoffs + others)
        page = (await authority.reader.read(None)).page
        shown = [(entry.id, entry.foreign.before) for entry in page.entries if entry.foreign]
        assert sorted(shown) == [("a", 600), ("a", 700), ("a", 1200), ("b", 900), ("c", 800)]


class TestLostHistory:
    """What may have been lost is refused with everything else that was issued before the recovery."""

    @pytest.mark.parametrize("clone", [False, True])
    async def test_a_recovery_refuses_what_was_issued_before_it(self, authority: Authority, *, clone: bool) -> None:
        """Whether anything is known to have been revoked or not; what is issued after it stands."""
        began = await _now(authority)
        await recover(authority, clone=clone)
        known = await _learn(authority)
        assert began + _AHEAD <= known.foreign.floor <= await _now(authority) + _AHEAD + 1
        assert [_judge(known, at) for at in (began, known.foreign.floor + 1)] == ["below_floor", "ok"]

    async def test_no_lost_cutoff_can_reach_beyond_it(
        self, http: AsyncClient, operator: Headers, authority: Authority
    ) -> None:
        """Not even one that lay in the future as far as it may."""
        latest = int(await _now(authority)) + _AHEAD
        await _revoke(http, operator, before=latest)
        await recover(authority)
        assert (await _learn(authority)).foreign.floor >= latest

    @pytest.mark.parametrize("witness", ["entry", "epoch", "audit"])
    async def test_a_clock_that_is_behind_lowers_nothing(self, authority: Authority, witness: str) -> None:
        """What the database has written down of the time counts too: lost cutoffs came after that."""
        later = int(await _now(authority)) + 5000
        written = {
            "entry": update(entries).values(at=later - 0.5),
            "epoch": update(head).values(born=later - 0.5),
            "audit": update(audit).values(at=later - 0.5),
        }
        async with authority.changing() as connection:
            await cut_token(connection, "t")
            await connection.execute(written[witness])
        recovered = await recover(authority)
        assert recovered.foreign_floor == later + _AHEAD
        assert (await _learn(authority)).foreign.floor == later + _AHEAD

    async def test_a_second_recovery_takes_nothing_back(self, authority: Authority) -> None:
        """A floor that a fast clock has set stays where it is."""
        far = int(await _now(authority)) + 5000
        async with authority.database.writing() as connection:
            await connection.execute(update(head).values(foreign_floor=far))
        assert (await recover(authority)).foreign_floor == far
        assert (await _learn(authority)).foreign.floor == far

    async def test_the_same_history_goes_on_without_it(self, authority: Authority) -> None:
        """Where nothing was lost nobody is refused."""
        await keep_history(authority)
        assert (await _learn(authority)).foreign.floor == 0

    async def test_what_is_left_stays_revoked(self, http: AsyncClient, operator: Headers, authority: Authority) -> None:
        """A guard that goes on from before the recovery, and a new one, refuse it; the list forgets it."""
        earlier = await _learn(authority)
        before = (await _revoke(http, operator))["before"]
        await recover(authority)
        for known in (await _learn(authority, earlier), await _learn(authority)):
            assert _judge(known, before, subject="f-1") != "ok"
        fresh = bearer(await operator_token(authority))
        assert good(await http.get("/admin/revocations/foreign", headers=fresh))["items"] == []
        await keep_house(authority)
        assert await _count(authority) == 0
