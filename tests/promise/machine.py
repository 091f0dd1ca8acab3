"""The machine: everything that can happen, in any order, and the promise held against each decision."""

from typing import ClassVar, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.promise.guards import MAX_STALENESS, Service
from tests.promise.promise import (
    Broken,
    check_acceptance,
    check_agreement,
    check_alarms,
    check_memory,
    check_refusal,
    heal,
)
from tests.promise.replica import CLIENTS, FLOOR_MARGIN, LIFETIME, ROLE, SCOPES, SESSIONS, USERS, keys_of
from tests.promise.world import World

T = TypeVar("T")

MOST_TOKENS: Final = 10
MOST_ON_THE_WAY: Final = 12

which = st.integers(0, 7)  # one of however many there are
# How far an operation goes before it is held: mostly to its end. A change that is held may keep others out.
steps = st.sampled_from([None] * 8 + [0, 1, 2, 2, 2, 3, 3, 7])
steps_of_changes = st.sampled_from([None] * 11 + [0, 0, 1, 4, 7])
seldom = st.sampled_from([False, False, False, True])
moments = st.sampled_from([1.0, 8.0, 16.0, MAX_STALENESS - 0.25, MAX_STALENESS, MAX_STALENESS + 0.25, 61.0])
servers_clocks = st.sampled_from([0.0, 0.0, -100.0, 3.0, 100.0])  # what a new server's clock adds to the true time
servers = st.sampled_from(["same", "same", "same", "timeline", "cluster"])  # what a new server says that it is
settings_of_clocks = st.sampled_from([0.0, 0.0, 0.0, -3600.0, -100.0, 3.0, 100.0, 3600.0, 3600.0])


def pick(things: list[T], number: int) -> T:
    """One of them."""
    return things[number % len(things)]


class Promise(RuleBasedStateMachine):
    """The real design. Those that break it are in `tests.promise.controls`.

    ``page_entries`` and ``fold_limit`` are the real code's constants, small enough here to matter.
    """

    page_entries: ClassVar[int] = 3
    fold_limit: ClassVar[int] = 3
    all_checks: ClassVar[bool] = True
    """Whether more is looked at than acceptances."""
    replicas: ClassVar[int | None] = None
    """How many, if not any number from 1 to 3."""
    services: ClassVar[int | None] = None
    """How many, if not any number from 2 to 4."""
    world_type: ClassVar[type[World]] = World

    @initialize(replicas=st.integers(1, 3), services=st.integers(2, 4), lossless=seldom)
    def begin(self, replicas: int, services: int, lossless: bool) -> None:
        """A new authority, two who have signed in, and services that have asked it once."""
        replicas, services = self.replicas or replicas, self.services or services
        self.world = self.world_type(replicas=replicas, services=services, lossless=lossless and self.all_checks)
        for user, client, session in zip(USERS, CLIENTS, SESSIONS, strict=True):
            self.world.sign_in(self.world.replicas[0], user, client, session)
        for service in self.world.services:
            self.world.exchange(service, self.world.replicas[0])

    # -- The authority

    @rule(user=which, client=which, session=which, replica=which, allowed=steps_of_changes)
    def sign_in(self, user: int, client: int, session: int, replica: int, allowed: int | None) -> None:
        """Somebody signs in; the hash of the password may take a while."""
        if len(self.world.tokens) >= MOST_TOKENS:
            del self.world.tokens[0]
        about = pick(list(USERS), user), pick(list(CLIENTS), client), pick(list(SESSIONS), session)
        self.world.sign_in(pick(self.world.replicas, replica), *about, allowed)

    @rule(scope=st.sampled_from(SCOPES), whom=which, replica=which, allowed=steps_of_changes)
    def revoke(self, scope: str, whom: int, replica: int, allowed: int | None) -> None:
        """Somebody is cut off."""
        tokens = [token.token_id for token in self.world.tokens] or ["none"]
        ids = {"everyone": [""], "client": list(CLIENTS), "user": list(USERS), "session": list(SESSIONS)}
        identifier = pick((ids | {"role": [ROLE], "token": tokens})[scope], whom)
        at = pick(self.world.replicas, replica)
        self.world.change(at, at.revoke(scope, identifier), allowed)

    @rule(user=which, replica=which, allowed=steps_of_changes)
    def change_password(self, user: int, replica: int, allowed: int | None) -> None:
        """A user has a new password."""
        at = pick(self.world.replicas, replica)
        self.world.change(at, at.change_password(pick(list(USERS), user)), allowed)

    @rule(
        verb=st.sampled_from(["rotate", "withdraw", "withdraw", "withdraw_all"]),
        key=which,
        replica=which,
        allowed=steps,
    )
    def change_keys(self, verb: str, key: int, replica: int, allowed: int | None) -> None:
        """Keys change: by plan, or because one was stolen."""
        at = pick(self.world.replicas, replica)
        work = {"rotate": at.rotate, "withdraw_all": at.withdraw_all}.get(verb)
        self.world.change(at, work() if work else at.withdraw(key), allowed)

    @rule(key=which, ahead=st.integers(-2, 4))
    def forge(self, key: int, ahead: int) -> None:
        """Somebody signs with a stolen key."""
        self.world.forge(pick(keys_of(self.world.store), key), ahead)

    @rule(seconds=st.sampled_from([0.0, LIFETIME + FLOOR_MARGIN + 1.0]), replica=which)
    def keep_house(self, seconds: float, replica: int) -> None:
        """What is over is forgotten, at once or after everything there was is over."""
        self.world.wait(seconds)
        at = pick(self.world.replicas, replica)
        self.world.change(at, at.keep_house())

    @precondition(lambda self: self.world.operations)
    @rule(number=which, allowed=steps_of_changes)
    def go_on(self, number: int, allowed: int | None) -> None:
        """Something that was held goes on."""
        pick(self.world.operations, number).steps.allow(allowed)
        self.world.settle()

    @rule(replica=which, politely=seldom)
    def crash(self, replica: int, politely: bool) -> None:
        """A replica dies wherever it is, or ends after having answered all who wait; and a new one starts."""
        if politely:
            at = pick(self.world.replicas, replica)
            self.world.run(at, at.release())
        self.world.restart(replica % len(self.world.replicas))

    @rule(replica=which)
    def hear(self, replica: int) -> None:
        """A replica is told that the log has moved, or looks by itself."""
        at = pick(self.world.replicas, replica)
        self.world.run(at, at.hear())

    # -- The database

    @rule()
    def back_up(self) -> None:
        """A backup is taken."""
        self.world.backups.append(self.world.store.image())

    @rule()
    def replicate(self) -> None:
        """The standby catches up."""
        self.world.standby = self.world.store.image()

    @rule(how=st.sampled_from(["restore", "restore", "promote"]), backup=which, offset=servers_clocks, server=servers)
    def lose_the_database(self, how: str, backup: int, offset: float, server: str) -> None:
        """The primary dies: a backup is restored, or the standby takes its place."""
        if how == "promote":
            self.world.promote(offset, server)
        else:
            self.world.restore(pick(self.world.backups[::-1], backup), offset, server)

    @rule(backup=which, again=seldom, service=which)
    def stray(self, backup: int, again: bool, service: int) -> None:
        """A copy becomes a test system, where somebody signs in; and a service is pointed there by mistake."""
        clone = self.world.clone
        if clone is None or again:
            clone = self.world.make_clone(pick([self.world.store.image(), *self.world.backups], backup))
        self.world.sign_in(clone, USERS[0], CLIENTS[0], SESSIONS[0])
        whose = pick(self.world.services, service)
        if not self.world.exchange(whose, clone):
            raise Broken("a clone must answer whoever asks")
        self._check_services()

    @rule(how=st.sampled_from(["recover", "by itself", "keep"]), replica=which, allowed=steps_of_changes)
    def recover(self, how: str, replica: int, allowed: int | None) -> None:
        """The operator begins a new epoch, or says that nothing was lost; or a replica recovers by itself."""
        at = pick(self.world.replicas, replica)
        work = {"recover": at.recover, "by itself": at.recover_by_itself, "keep": at.keep_history}[how]
        self.world.change(at, work(), allowed)

    # -- The network

    @rule(service=which, impatient=seldom, late=st.booleans(), replica=which, allowed=steps)
    def ask(self, service: int, impatient: bool, late: bool, replica: int, allowed: int | None) -> None:
        """A service asks and hears nothing yet; mostly one that does not wait for an answer already."""
        if len(self.world.asked) >= MOST_ON_THE_WAY:
            del self.world.asked[0]
        waiting = {asked.question for asked in self.world.asked} | {told.question for told in self.world.answered}
        idle = [one for one in self.world.services if one.question not in waiting]
        self.world.ask(pick(idle if idle and not impatient else self.world.services, service))
        if not late:
            self.world.deliver_question(self.world.asked.pop(), pick(self.world.replicas, replica), allowed)

    @precondition(lambda self: self.world.asked)
    @rule(number=which, replica=which, allowed=steps, again=seldom)
    def question_arrives(self, number: int, replica: int, allowed: int | None, again: bool) -> None:
        """A question comes to some replica; perhaps not for the last time."""
        asked = pick(self.world.asked, number)
        if not again:
            self.world.asked.remove(asked)
        self.world.deliver_question(asked, pick(self.world.replicas, replica), allowed)

    @precondition(lambda self: self.world.answered)
    @rule(number=which, again=seldom, mixed_up=seldom)
    def answer_arrives(self, number: int, again: bool, mixed_up: bool) -> None:
        """An answer comes, late or soon; perhaps not for the last time, perhaps as that to another question."""
        answered = pick(self.world.answered, number)
        if not again or len(self.world.answered) > MOST_ON_THE_WAY:
            self.world.answered.remove(answered)
        self.world.deliver_answer(answered, mixed_up=mixed_up)
        self._check_service(answered.service)

    @rule(service=which, replica=which)
    def exchange(self, service: int, replica: int) -> None:
        """A service asks and hears at once."""
        whose = pick(self.world.services, service)
        self.world.exchange(whose, pick(self.world.replicas, replica))
        self._check_service(whose)

    # -- Services

    @rule(seconds=moments)
    def wait(self, seconds: float) -> None:
        """Time passes, and every service that decides at all is shown every token."""
        self.world.wait(seconds)
        self._check_services()

    @rule(seconds=moments, replica=which)
    def live(self, seconds: float, replica: int) -> None:
        """Time passes, and then all services ask."""
        self.world.wait(seconds)
        for number, service in enumerate(self.world.services):
            self.world.exchange(service, pick(self.world.replicas, replica + number))
        self._check_services()

    @rule(seconds=st.sampled_from([1.0, 8.0, 8.0]), replica=which)
    def follow(self, seconds: float, replica: int) -> None:
        """All services ask, and wait for news; what has been answered after a while arrives."""
        for number, service in enumerate(self.world.services):
            self.world.ask(service)
            self.world.deliver_question(self.world.asked.pop(), pick(self.world.replicas, replica + number))
        self.world.wait(seconds)
        self._hear_all()

    @rule(service=which, other=which, user=which, seconds=moments, replica=which)
    def read_slowly(self, service: int, other: int, user: int, seconds: float, replica: int) -> None:
        """A read for one stands still while a password is changed and time passes; another asks, and all goes on."""
        at = pick(self.world.replicas, replica)
        self.world.ask(pick(self.world.services, service))
        self.world.deliver_question(self.world.asked.pop(), at, 2, hold=False)
        self.world.change(at, at.change_password(pick(list(USERS), user)))
        self.world.wait(seconds)
        self.world.ask(pick(self.world.services, other))
        self.world.deliver_question(self.world.asked.pop(), at)
        for operation in self.world.operations:
            operation.steps.allow(None)
        self.world.settle()
        self._hear_all()

    @rule(service=which)
    def decide(self, service: int) -> None:
        """A service is shown every token."""
        self._check_service(pick(self.world.services, service))

    @precondition(lambda self: self.world.tokens)
    @rule(service=which, token=which, seconds=moments, number=which)
    def decide_slowly(self, service: int, token: int, seconds: float, number: int) -> None:
        """A service stands still in the middle of a decision, while time passes and an answer comes in."""
        whose, shown = pick(self.world.services, service), pick(self.world.tokens, token)

        def pause() -> None:
            self.world.wait(seconds)
            mine = [answered for answered in self.world.answered if answered.service is whose]
            if mine:
                self.world.deliver_answer(pick(mine, number))

        knew, strays = set(whose.knew), whose.strays
        if whose.decide(shown, pause) is None and not (strays and self.world.is_cloned(shown)):
            check_acceptance(self.world, knew, shown)

    @rule(service=which, boot=settings_of_clocks)
    def restart(self, service: int, boot: float) -> None:
        """A service starts anew and knows nothing."""
        pick(self.world.services, service).start(boot)

    @rule(service=which, wall=settings_of_clocks)
    def set_clock(self, service: int, wall: float) -> None:
        """Somebody sets a service's clock."""
        pick(self.world.services, service).wall = wall

    # -- The end

    @rule()
    def heal(self) -> None:
        """All is well again."""
        if self.all_checks:
            heal(self.world)
            check_agreement(self.world)

    def teardown(self) -> None:
        """All is well again at the end of each run, and nothing is left behind."""
        if hasattr(self, "world"):
            self.world.close()

    def _hear_all(self) -> None:
        """Every service hears the answer to its latest question, if there is one."""
        for answered in list(self.world.answered):
            if answered.question is answered.service.question:
                self.world.answered.remove(answered)
                self.world.deliver_answer(answered)
        self._check_services()

    def _check_services(self) -> None:
        if self.all_checks:
            check_alarms(self.world)
        for service in self.world.services:
            if service.guard.status().fresh:
                self._check_service(service)

    def _check_service(self, service: Service) -> None:
        for token in self.world.tokens:
            refusal = service.decide(token)
            if service.strays and self.world.is_cloned(token):
                continue
            if refusal is None:
                check_acceptance(self.world, service.knew, token)
            elif self.all_checks:
                check_refusal(self.world, service, token, refusal.code)
        check_memory(service, self.fold_limit)
