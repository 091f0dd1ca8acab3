"""What must hold, said over what an onlooker sees who is nowhere and sees everything.

**The bound.** A guard accepts a token only if, at some moment of the last `MAX_STALENESS` seconds, the database that
was then in force let the token stand, by all that had been acknowledged at that moment.

In one unbroken history that is the promise: no acceptance later than that after the acknowledgement. Where a restored
backup or an asynchronous failover loses history, it says what is left of it:

- A database that has lost a revocation lets the token stand again, so nothing is promised about what was lost, until
  the loss is found (the first guard asks that had seen something of the lost part; the feed closes) or `recover` is
  acknowledged. From then on the bound holds again, and for every older token: in both cases no token of the former
  epoch is accepted later than `MAX_STALENESS` after it.
- Nor is a later revocation promised to reach a token that was *minted* in the lost part: its position may be higher
  than the revocation's. Only the end of its epoch is certain to reach it.

**Memory.** A guard that has known of a revocation never accepts a token that it concerns, as long as it lives,
whatever becomes of the database.

**No needless refusal.** A guard whose knowledge is fresh accepts every token that nothing committed speaks against,
whose key and epoch were there when that knowledge was asked for, and whose time is not over by either clock. But of two
histories that went on from one beginning, one may have raised its floor higher than the other ever got: a token minted
in the one that was lost may be below the floor of the one that is left.

**Agreement.** After everything has healed (and `recover`, where the feed has closed), one round of questions makes all
guards say the same as the tables do.

**No false alarm.** No guard proves that history was lost unless some was: another database was in force before, and
something was committed there that is not here. Another server closes the feed too, but not another timeline where the
settings say that a standby has everything.

**Clones.** A copy of the database that `recover --clone` has made another authority is none of all this: a guard that
follows it accepts nothing of ours, and one that follows ours nothing of the copy's. A guard that comes back from it
learns as if it were new, and nobody else notices.

**Bounded memory.** A guard holds no more cutoffs than there are entries above the floor, and a quarter more, and a
constant.
"""

from collections.abc import Iterable
from typing import Final

from tests.promise.guards import MAX_STALENESS, Service
from tests.promise.history import (
    ALARM,
    EPOCH,
    KEY_LISTED,
    KEY_WITHDRAWN,
    Chain,
    Event,
    Token,
    follows,
    forbidden_from,
    since_epoch,
    standing,
)
from tests.promise.replica import ruling
from tests.promise.world import World

from watchword.core import cutoffs
from watchword.errors import BelowFloor

LEEWAY: Final = 2.0  # the guards' own, in seconds


class Broken(AssertionError):
    """The promise is broken."""


def check_acceptance(world: World, knew: Iterable[Event], token: Token) -> None:
    """A guard that knew this when it began to decide has just accepted a token: it had to be allowed to."""
    for reign in reversed(world.reigns):
        earliest = max(reign.begin, world.now - MAX_STALENESS)
        if earliest <= min(reign.end, world.now, forbidden_from(reign.store.chain, token)):
            break
        if reign.begin < world.now - MAX_STALENESS:
            raise Broken("accepted later than the bound allows")
    else:
        raise Broken("accepted though no database ever let it stand")
    for event in knew:
        lost = not follows(event.before, token.chain)
        if not lost and event.forbids(token, lost=False):
            raise Broken(f"accepted by a guard that had known better: {event.kind} {event.id}")


def check_refusal(world: World, service: Service, token: Token, code: str) -> None:
    """A guard has just refused a token: it had to have a reason."""
    if _is_below_another_floor(world, token, code):
        return
    if (
        service.fresh
        and not service.strays
        and service.chain is not None
        and _is_good(world, service, service.chain, token)
    ):
        raise Broken(f"a good token was refused: {code}")


def _is_below_another_floor(world: World, token: Token, code: str) -> bool:
    return code == BelowFloor.code and token.database is not world.store


def _is_good(world: World, service: Service, known: Chain, token: Token) -> bool:
    """Whether nothing in the world is a reason to refuse."""
    chain, as_of = world.store.chain, service.as_of
    if token.forged or as_of is None or not (follows(chain, token.chain) and follows(chain, known)):
        return False
    wall, database = service.wall_clock(), world.store.clock()
    if not token.issued - LEEWAY <= wall < token.expires + LEEWAY or database >= token.expires:
        return False
    since = set(chain[len(token.chain) :])
    if any(event.forbids(token, lost=False) for event in standing(chain) if event in since):
        return False
    # What a guard cannot know yet: a key or an epoch that came after it asked.
    made = [event for event in chain if event.id in (token.kid, token.epoch) and event.kind in (KEY_LISTED, EPOCH)]
    if any(event.kind == KEY_WITHDRAWN and event.id == token.kid for event in chain):
        return False
    return all(event.committed < as_of for event in made)


def check_alarms(world: World) -> None:
    """The feed is closed for a reason."""
    servers = {reign.store.identity for reign in world.reigns}
    moved = len({server.split("/")[0] for server in servers} if world.lossless else servers) > 1
    for event in world.store.chain:
        if event.kind == ALARM and not _has_lost(world) and (event.id.startswith("a guard") or not moved):
            raise Broken(f"a false alarm: {event.id}")


def _has_lost(world: World) -> bool:
    """Whether anything was ever committed that the database in force knows nothing of."""
    return any(not follows(world.store.chain, reign.store.chain) for reign in world.reigns)


def check_memory(service: Service, constant: int) -> None:
    """What a guard holds is bounded by what the log holds, and not by how long the guard has lived."""
    known = service.source.known
    if known is None:
        return
    held, living = len(known.knowledge.cutoffs), known.knowledge.number - known.knowledge.floor
    if held > cutoffs._NEEDLESS * living + constant:
        raise Broken(f"{held} cutoffs are held, and {living} can be alive")


def heal(world: World) -> None:
    """Everything runs again, clocks are right, and the operator does what is right wherever the feed has closed."""
    for index in range(len(world.replicas)):
        world.restart(index)
    world.asked.clear()
    world.answered.clear()
    for service in world.services:
        service.wall = 0.0
    for _ in range(2):  # one recovery is enough, whatever each guard has seen
        heard = [_ask_until_fresh(world, service) for service in world.services]
        if all(heard):
            return
        if not any(event.kind == ALARM for event in since_epoch(world.store.chain)):
            raise Broken("a guard learns nothing, and nobody was told why")
        operator = world.replicas[0]
        world.change(operator, operator.recover() if _has_lost(world) else operator.keep_history())
    raise Broken("a guard learns nothing, although the operator has recovered")


def check_agreement(world: World) -> None:
    """After healing all guards say what the tables say."""
    for token in world.tokens:
        stands = ruling(world.store, token)
        for service in world.services:
            wall = service.wall_clock()
            expected = stands and token.issued - LEEWAY <= wall < token.expires + LEEWAY
            said = service.decide(token)
            if (said is None) is not expected and not (said and _is_below_another_floor(world, token, said.code)):
                raise Broken(f"the tables say {stands}, a guard says {said}")


def _ask_until_fresh(world: World, service: Service) -> bool:
    """Questions until one round has brought everything: a page more for each part of a long log, and one refused."""
    world.wait(0.25)  # what was asked before this moment does not count
    begun = world.now
    for attempt in range(2 * len(world.store.chain) + 3):
        world.exchange(service, world.replicas[attempt % len(world.replicas)])
        if service.as_of is not None and service.as_of >= begun:
            return True
    return False
