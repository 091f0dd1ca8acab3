"""The world: one database's histories, replicas, services, a network between them, and the true time."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from tests.promise.guards import Service
from tests.promise.history import ALARM, Chain, Event, Token
from tests.promise.loop import Operation, the_loop
from tests.promise.replica import (
    BEGINNING,
    FIRST_SERVER,
    Answer,
    Pairs,
    Replica,
    first_image,
    forge,
    instance_of,
    place_now,
)
from tests.promise.store import Folder, Image, Place, Store

from watchword.core.cutoffs import Position
from watchword.errors import Refused
from watchword.guard.learner import Question

SLICE: Final = 4.0
"""Seconds: less than an answer is held."""


@dataclass(eq=False)
class Asked:
    """A question on its way. It is lost if the service is not the one that asked any more."""

    service: Service
    question: Question


@dataclass(eq=False)
class Answered:
    """An answer on its way back."""

    service: Service
    question: Question
    answer: Answer


@dataclass(eq=False)
class Reign:
    """The time in which a store was the one in force."""

    store: Store
    begin: float
    end: float = float("inf")


class World:
    """Everything there is, and all that can happen to it.

    ``lossless``: the standby always has all that was acknowledged, and the settings say so.
    """

    def __init__(self, *, replicas: int, services: int, lossless: bool = False) -> None:
        self.lossless = lossless
        self.now = BEGINNING
        self.folder = Folder()
        self.pairs = Pairs()
        self.places: dict[Place, Chain] = {}
        image = first_image()
        the_loop().at(self.now)
        self.pairs.take_first()
        self.reigns: list[Reign] = []
        self._begin_reign(image, 0.0, FIRST_SERVER)
        self.places[place_now(self.store)] = ()
        self.instance = instance_of(self.store)
        self.clones: list[Store] = []
        self.clone: Replica | None = None
        self.backups: list[Image] = [image]
        self.standby = image
        self.replicas = [self.new_replica() for _ in range(replicas)]
        self.services = [Service(self, 1000.0 * number) for number in range(services)]
        self.operations: list[Operation] = []
        self.asked: list[Asked] = []
        self.answered: list[Answered] = []
        self.tokens: list[Token] = []

    def close(self) -> None:
        """End everything."""
        for replica in [*self.replicas, *([self.clone] if self.clone else [])]:
            self.kill(replica)
        for store in [*(reign.store for reign in self.reigns), *self.clones]:
            store.close()
        self.folder.clean()

    def clock(self) -> float:
        """The true time."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Time passes, and whatever waits for it happens, though not to the second."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + SLICE)
            the_loop().at(self.now)
            self.settle()

    @property
    def store(self) -> Store:
        """The database in force."""
        return self.reigns[-1].store

    def new_replica(self) -> Replica:
        """A process that reaches whatever database is in force."""
        return Replica(lambda: self.store, self.pairs, lossless=self.lossless)

    # -- The authority

    def run(
        self,
        replica: Replica,
        work: Coroutine[Any, Any, Any],
        allowed: int | None = None,
        ended: Callable[[Any], None] = lambda _: None,
    ) -> None:
        """Let a replica do something, all of it or as many steps as are allowed for now."""
        self.operations.append(Operation(replica.process, work, allowed, ended))
        self.settle()

    def settle(self) -> None:
        """Let all happen that can, and tell the ends of what has ended."""
        the_loop().settle()
        ended = [operation for operation in self.operations if operation.task.done()]
        self.operations = [operation for operation in self.operations if not operation.task.done()]
        for operation in ended:
            operation.steps.allow(None)  # what others share with it is no longer held for its sake
            if operation.task.cancelled():
                continue
            why = operation.task.exception()
            if why is None:
                operation.ended(operation.task.result())
            elif not isinstance(why, Refused):
                raise why
        if ended:
            self.settle()

    def change(self, replica: Replica, work: Coroutine[Any, Any, list[Event]], allowed: int | None = None) -> None:
        """Let a replica change something; it is acknowledged when the replica has said that it is done."""

        async def tell() -> list[Event]:
            events = await work
            await replica.hear()
            return events

        self.run(replica, tell(), allowed, self._acknowledge)

    def sign_in(self, replica: Replica, user: str, client: str, session: str, allowed: int | None = None) -> None:
        """Let somebody sign in."""
        self.run(replica, replica.sign_in(user, client, session), allowed, self.tokens.append)

    def _acknowledge(self, events: list[Event]) -> None:
        for event in events:
            event.acknowledged = min(event.acknowledged, self.now)

    def kill(self, replica: Replica) -> None:
        """A process dies, wherever it is."""
        replica.process.die()
        self.settle()

    def restart(self, index: int) -> None:
        """A replica dies and begins anew."""
        self.kill(self.replicas[index])
        self.replicas[index] = self.new_replica()

    # -- The database

    def restore(self, image: Image, offset: float, server: str = "same") -> None:
        """A backup is restored, with the authority stopped; perhaps on a machine with another clock.

        ``server`` is what the database says then that it is: the ``same``, for a copy of its files, another
        ``timeline``, for a restore to a point in time, or another ``cluster``, for a dump.
        """
        for index in range(len(self.replicas)):
            self.restart(index)
        self._succeed(image, offset, server)

    def promote(self, offset: float, server: str = "same") -> None:
        """The primary is fenced, and the standby takes its place; the replicas find it there."""
        if self.lossless:
            self.standby = self.store.image()
        self._succeed(self.standby, offset, server)

    def _succeed(self, image: Image, offset: float, server: str) -> None:
        cluster, number = self.store.identity.split("/")[0], len(self.reigns) + 1
        identities = {"same": self.store.identity, "timeline": f"{cluster}/{number}", "cluster": f"{number}/1"}
        self.store.fenced = True
        self.reigns[-1].end = self.now
        self._begin_reign(image, offset, identities[server])
        self.standby = image

    def _begin_reign(self, image: Image, offset: float, identity: str) -> None:
        store = Store(self.folder, image, self.clock, self.places, identity, offset)
        self.reigns.append(Reign(store, self.now))

    def make_clone(self, image: Image) -> Replica:
        """A copy of the database becomes a test system, by `recover --clone`. Of an earlier one nothing is left."""
        if self.clone is not None:
            self.kill(self.clone)
        store = Store(self.folder, image, self.clock, {}, "copy/1")
        self.clones.append(store)
        self.clone = Replica(lambda: store, self.pairs)
        self.change(self.clone, self.clone.recover(clone=True))
        return self.clone

    def is_cloned(self, token: Token) -> bool:
        """Whether a token is of a test system."""
        return token.database in self.clones

    # -- The network

    def ask(self, service: Service) -> None:
        """A service asks."""
        self.asked.append(Asked(service, service.ask()))

    def deliver_question(
        self, asked: Asked, replica: Replica, allowed: int | None = None, *, hold: bool = True
    ) -> None:
        """A question arrives. Its answer sets out as soon as the replica has one, or when the hold is over."""

        def ended(answer: Answer) -> None:
            self.answered.append(Answered(asked.service, asked.question, answer))
            if answer.status != 200 and b"history_lost" in answer.body:
                self._acknowledge([event for event in self.store.chain if event.kind == ALARM])

        seconds = asked.question.hold if hold else 0.0
        self.run(replica, replica.answer(asked.question.cursor, seconds), allowed, ended)

    def deliver_answer(self, answered: Answered, *, mixed_up: bool = False) -> bool:
        """An answer arrives, perhaps as that to the latest question; whether it was of any use."""
        question, service = answered.question, answered.service
        if mixed_up and service.question is not None:
            question = service.question
        return service.hear(question, answered.question.nonce, answered.answer)

    def exchange(self, service: Service, replica: Replica) -> bool:
        """A question and its answer, with nothing between them and no hold; whether it was of any use."""
        self.ask(service)
        self.deliver_question(self.asked.pop(), replica, hold=False)
        for answered in self.answered:
            if answered.question is service.question:
                self.answered.remove(answered)
                return self.deliver_answer(answered)
        return False

    # -- The thief

    def forge(self, kid: str, ahead: int) -> None:
        """Somebody has stolen a key, and makes a token of some position near the head."""
        epoch, number, _ = place_now(self.store)
        position = Position(epoch, max(0, number + ahead))
        self.tokens.append(forge(self.pairs.by_kid[kid], position, self.store.clock(), self.store.chain))
