"""Questions at a given rate, whatever the answers take; and revocations so."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.live.stand import revocation
from bench.live.wire import Answer, Connection

Ask = Callable[[], Awaitable[Answer]]
"""One worker's next question, and its answer."""


@dataclass(frozen=True, slots=True)
class Paced:
    """An answer, and when its question was due: one that is due while all workers wait goes late, and so it counts."""

    due: float
    answer: Answer

    @property
    def took(self) -> float:
        """Seconds, from when it was due."""
        return self.answer.at - self.due


async def ask_at_rate(workers: Sequence[Ask], *, rate: float, seconds: float) -> list[Paced]:
    """Ask so often a second, for so long; what was answered, in its order."""
    begun, numbers = time.monotonic(), itertools.count()
    done: list[Paced] = []

    async def work(ask: Ask) -> None:
        while (number := next(numbers)) < rate * seconds:
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            done.append(Paced(due, await ask()))

    async with asyncio.TaskGroup() as group:
        for ask in workers:
            group.create_task(work(ask))
    return sorted(done, key=lambda one: one.answer.at)


async def revoke_at_rate(
    connections: Sequence[Connection], bearer: Mapping[str, str], *, rate: float, seconds: float
) -> list[Paced]:
    """Revoke tokens that nobody has."""

    def worker(connection: Connection) -> Ask:
        async def revoke() -> Answer:
            answer = await connection.ask(revocation(bearer, "token", secrets.token_hex(8)))
            answer.expect()
            return answer

        return revoke

    return await ask_at_rate([worker(connection) for connection in connections], rate=rate, seconds=seconds)


def rate_of(paced: Sequence[Paced]) -> float:
    """How many a second were answered, from the first to the last."""
    return (len(paced) - 1) / (paced[-1].answer.at - paced[0].answer.at)
