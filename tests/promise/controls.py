"""Designs that break the promise, each switched on by a small change of the real code. The machine must find each."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from hypothesis.stateful import RULE_MARKER
from sqlalchemy import insert, update
from tests.promise import guards
from tests.promise import replica as adapter
from tests.promise.guards import Service
from tests.promise.history import KEY_LISTED, KEY_WITHDRAWN, Event, Token
from tests.promise.loop import step
from tests.promise.machine import Promise
from tests.promise.replica import Answer, Replica, keys_of
from tests.promise.store import Image, Store
from tests.promise.world import World

from watchword.authority import recover
from watchword.authority.keys.rotation import rotate
from watchword.authority.log import pages
from watchword.authority.log.cursor import Cursor
from watchword.authority.log.head import Head, append, new_epoch, new_id, read_head
from watchword.authority.log.held import Held
from watchword.authority.log.lost import Lost
from watchword.authority.log.reader import LogReader, Read
from watchword.authority.schema import entries, head
from watchword.core import feed
from watchword.core.cutoffs import Cutoffs, Position
from watchword.core.feed import Knowledge, Page
from watchword.core.keyset import KeySet
from watchword.errors import Refused
from watchword.guard.learner import Learner, Question
from watchword.guard.source import FixedKeys, Known


def nothing() -> AbstractContextManager[object]:
    """The world itself is another; the code is as it is."""
    return nullcontext()


# -- Dates


def dated_by_the_answer() -> AbstractContextManager[object]:
    """What is known is as old as the moment in which the answer came."""
    take = Learner._take
    return patch.object(Learner, "_take", lambda self, page, _: take(self, page, self._clock()))


def open_at_first() -> AbstractContextManager[object]:
    """A guard that has heard nothing goes by the published keys."""

    def known(self: Any) -> Known | None:
        learnt: Known | None = self._service.learner.known
        pairs = self._service.world.pairs.by_kid
        listed = keys_of(self._service.world.store)
        return learnt or FixedKeys(KeySet([pairs[kid].public for kid in listed])).known

    return patch.object(guards._Source, "known", property(known))


# -- Positions


@contextmanager
def numbers_of_a_sequence() -> Iterator[None]:
    """A position is drawn before the transaction begins, and guards ask for all that is above the last they saw."""
    last: dict[Store, int] = defaultdict(int)

    async def revoke(self: Replica, scope: str, identifier: str) -> list[Event]:
        store = self.database.store
        last[store] = number = max(last[store], store.look(adapter.HEAD_NUMBER)[0][0]) + 1
        await step()
        async with self.database.writing() as connection:
            about = {"scope": scope, "id": identifier, "reason": "signed_out", "at": store.clock()}
            mark = new_id()
            await connection.execute(insert(entries).values(position=number, mark=mark, **about))
            later = update(head).where(head.c.position < number)
            await connection.execute(later.values(position=number, mark=mark))
            done: list[Event] = connection.happens(Event(scope, identifier))
            return done

    def go_on(known: Knowledge | None, page: Page) -> Knowledge:
        if known is None or (known.instance, known.epoch, known.number) != (page.instance, page.epoch, page.after):
            raise feed.FeedError("the page continues from elsewhere")
        added = known.cutoffs.with_added(feed._cutoffs(page)[0], page.floor)
        at = page.instance, page.epoch, page.number, page.head, page.floor
        keys = known.keys if page.keys is None else feed._keys(page.keys)
        return Knowledge(*at, keys, added, page.cursor, known.born)

    with patch.object(Replica, "revoke", revoke), patch.object(feed, "_continue", go_on):
        yield


def minted_in_two_snapshots() -> AbstractContextManager[object]:
    """The subject is read in one transaction and the head in a later one."""
    real = Replica.reading_for_mint

    async def read(self: Replica, user: str, client: str) -> Any:
        first = await real(self, user, client)
        await step()
        second = await real(self, user, client)
        return second._replace(user=first.user, client=first.client, chain=first.chain)

    return patch.object(Replica, "reading_for_mint", read)


# -- Lost history


def positions_used_again() -> AbstractContextManager[object]:
    """No epoch, no mark: a cursor is a number, and after a restored backup the numbers come again."""

    def check(*_: object) -> None:
        """Anything goes."""

    return patch.object(pages, "_check_history", check)


def only_cursors_that_are_ahead() -> AbstractContextManager[object]:
    """History is lost where a guard has seen a number that the log has not reached; marks are not looked at."""

    def check(at: Head, after: Cursor, mark: object) -> None:
        if after.number > at.number:
            raise Lost(at.epoch, "ahead")

    return patch.object(pages, "_check_history", check)


@contextmanager
def counted_epochs() -> Iterator[None]:
    """An epoch is the one before and one more; nor does a recovery change the keys, which would save it."""

    async def next_epoch(connection: Any, *, clone: bool = False, epoch: str | None = None) -> Position:
        before = (await read_head(connection)).epoch
        counted = f"e{int(before[1:]) + 1}" if before[1:].isdecimal() else "e1"
        return await new_epoch(connection, clone=clone, epoch=counted)

    async def keep(*_: object) -> int:
        return 0

    with patch.object(recover, "new_epoch", next_epoch), patch.object(recover, "withdraw_all", keep):
        yield


# -- Answers


def answered_from_memory() -> AbstractContextManager[object]:
    """What was read for a cursor once is the answer to it for as long as the process lives."""
    real = LogReader.read
    memory: dict[tuple[LogReader, Cursor | None], Read] = {}

    async def read(self: LogReader, after: Cursor | None) -> Read:
        if (self, after) not in memory:
            memory[self, after] = await real(self, after)
        return memory[self, after]

    return patch.object(LogReader, "read", read)


@contextmanager
def held_and_not_read() -> Iterator[None]:
    """At the end of a hold nothing is read: what was known for that place before is still so, as nobody told.

    Nor does anybody tell, as where the connection that listens has gone dead.
    """
    memory: dict[tuple[Held, Cursor], Read] = {}

    async def answer(self: Held, after: Cursor, waiting: Sequence[Any]) -> None:
        if (self, after) not in memory:
            memory[self, after] = await self._reader.read(after)
        for one in waiting:
            if not one.answer.done():
                one.answer.set_result(memory[self, after])

    async def hear(_: Replica) -> None:
        """Nothing is heard."""

    with patch.object(Held, "_answer", answer), patch.object(Replica, "hear", hear):
        yield


def shared_while_it_flies() -> AbstractContextManager[object]:
    """Who asks while a read is going on gets what that one brings."""
    real = LogReader._read

    async def read(self: LogReader, after: Cursor | None) -> Read:
        own = self._boarding[after]
        try:
            self._boarding = _Kept(self._boarding)
            return await real(self, after)
        finally:
            if self._boarding.get(after) is own:
                dict.__delitem__(self._boarding, after)

    return patch.object(LogReader, "_read", read)


class _Kept(dict[Any, Any]):
    """What begins stays on board until it has landed."""

    def __delitem__(self, key: object) -> None:
        pass


# -- Memory


@contextmanager
def forgotten_by_the_guards_clock() -> Iterator[None]:
    """A guard drops a cutoff once no token from before it can be alive, by the clock that people set."""
    heard: dict[Service, dict[object, float]] = defaultdict(dict)
    decide, hear = Service.decide, Service.hear

    def forget(self: Service) -> None:
        known, now = self.learner.known, self.wall_clock()
        if known is not None:
            moments = heard[self]
            kept = [one for one in known.knowledge.cutoffs if now - moments.setdefault(one, now) < adapter.LIFETIME]
            knowledge = dataclasses.replace(known.knowledge, cutoffs=Cutoffs(kept))
            self.learner.known, self.learner._draft = Known(knowledge, known.as_of), knowledge

    def forgetting(self: Service, token: Token, pause: Callable[[], None] | None = None) -> Refused | None:
        forget(self)
        return decide(self, token, pause)

    def hearing(self: Service, question: Question, nonce: str, answer: Answer) -> bool:
        news = hear(self, question, nonce, answer)
        forget(self)
        return news

    with patch.object(Service, "decide", forgetting), patch.object(Service, "hear", hearing):
        yield


def keys_judged_by_position() -> AbstractContextManager[object]:
    """A withdrawn key is a cutoff for what it signed before: and what it signed when, the token says."""

    async def withdraw(self: Replica, which: int) -> list[Event]:
        fresh = self.pairs.take()
        async with self.database.writing() as connection:
            listed = await adapter.listed(connection)
            await rotate(connection, self.keyring, fresh)
            await append(connection, "everyone", "", "everything_expired")
            events = [Event(KEY_LISTED, fresh.kid), Event("everyone", "")]
            done: list[Event] = connection.happens(*events, Event(KEY_WITHDRAWN, listed[which % len(listed)]))
        return done

    return patch.object(Replica, "withdraw", withdraw)


# -- Worlds


class Unfenced(World):
    """The old primary still answers: one of the replicas never hears of the new one."""

    def promote(self, offset: float, server: str = "same") -> None:
        """Nobody ends the old one."""
        old = self.store
        super().promote(offset, server)
        old.fenced = False
        database = self.replicas[0].database
        database.store_of = database.reads_of = lambda: old


class FromStandby(World):
    """Questions are answered by the standby, which lags."""

    def __init__(self, *, replicas: int, services: int, lossless: bool = False) -> None:
        self.copy: Store | None = None
        self._copied: Image | None = None
        super().__init__(replicas=replicas, services=services, lossless=lossless)

    def new_replica(self) -> Replica:
        """Reads come from the standby."""
        made = super().new_replica()
        made.database.reads_of = self.lagging
        return made

    def lagging(self) -> Store:
        """The standby as it is by now."""
        if self.copy is None or self._copied is not self.standby:
            self._copied = self.standby
            self.copy = Store(self.folder, self.standby, self.clock, self.places, self.store.identity)
        return self.copy


class Control(NamedTuple):
    """What switches a broken design on, and what must happen for it to be found."""

    broken: Callable[[], AbstractContextManager[object]]
    rules: tuple[str, ...]
    world: type[World] = World
    replicas: int | None = None
    services: int = 2


class Acceptances(Promise):
    """The machine, looking at nothing but what is accepted."""

    all_checks = False


def machine_of(control: Control) -> type[Promise]:
    """The machine in which only that happens which the design is about: a few hundred runs are enough to find it.

    Each rule is there three times, since in each run some rules are left out.
    """
    members: dict[str, Any] = {name: None for name, member in vars(Promise).items() if hasattr(member, RULE_MARKER)}
    for name in control.rules:
        members |= dict.fromkeys((name, f"{name}_2", f"{name}_3"), vars(Promise)[name])
    members |= {"world_type": control.world, "replicas": control.replicas, "services": control.services}
    return type("Broken", (Acceptances,), members)


_LOSING: Final = ("sign_in", "revoke", "lose_the_database", "live")
_CROSSING: Final = ("sign_in", "revoke", "ask", "answer_arrives", "wait")

CONTROLS: Final[Mapping[str, Control]] = {
    "fresh since the answer arrived": Control(dated_by_the_answer, _CROSSING, services=4),
    "accepting before the first snapshot": Control(open_at_first, ("sign_in", "revoke", "restart", "wait")),
    "a cursor over a database sequence": Control(numbers_of_a_sequence, ("sign_in", "revoke", "go_on", "live")),
    "a mint that reads its subject and the head in two snapshots": Control(
        minted_in_two_snapshots, ("sign_in", "change_password", "go_on", "live")
    ),
    "positions used again, with no epoch and no mark": Control(positions_used_again, _LOSING),
    "a cursor ahead as the only sign of lost history": Control(only_cursors_that_are_ahead, _LOSING),
    "epochs as counters, one backup restored twice": Control(
        counted_epochs, ("sign_in", "recover", "lose_the_database", "exchange", "wait")
    ),
    "an old primary that still answers": Control(nothing, _LOSING, Unfenced, 2),
    "an answer from memory": Control(answered_from_memory, ("sign_in", "revoke", "live")),
    "an answer from memory after a hold": Control(held_and_not_read, ("sign_in", "revoke", "follow")),
    "a shared page computed earlier": Control(shared_while_it_flies, ("sign_in", "read_slowly", "wait"), World, 1),
    "an answer from a standby": Control(nothing, ("sign_in", "revoke", "replicate", "live"), FromStandby, 1),
    "forgetting cutoffs by a guard's clock": Control(
        forgotten_by_the_guards_clock, ("sign_in", "revoke", "exchange", "set_clock", "wait", "decide")
    ),
    "a withdrawn key judged by the token's own position": Control(
        keys_judged_by_position, ("change_keys", "forge", "live")
    ),
}
