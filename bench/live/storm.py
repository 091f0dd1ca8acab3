"""Revocations at a given rate, over several connections."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.live.stand import revocation
from bench.live.wire import Connection


@dataclass(frozen=True, slots=True)
class Revoked:
    """One revocation: when it was due, when it was acknowledged (monotonic), and where the log stood then."""

    due: float
    acknowledged: float
    number: int


async def revoke_at_rate(
    connections: Sequence[Connection], bearer: Mapping[str, str], *, rate: float, seconds: float
) -> list[Revoked]:
    """Revoke tokens that nobody has. One that is due while all connections wait goes late, and counts from its due."""
    begun, numbers = time.monotonic(), itertools.count()
    done: list[Revoked] = []

    async def work(connection: Connection) -> None:
        while (number := next(numbers)) < rate * seconds:
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            answer = await connection.ask(revocation(bearer, "token", secrets.token_hex(8)))
            position: str = answer.json["position"]
            done.append(Revoked(due, answer.at, int(position.rpartition(".")[2])))

    async with asyncio.TaskGroup() as group:
        for connection in connections:
            group.create_task(work(connection))
    return sorted(done, key=lambda one: one.acknowledged)


def rate_of(revoked: Sequence[Revoked]) -> float:
    """How many a second were acknowledged, from the first to the last."""
    return (len(revoked) - 1) / (revoked[-1].acknowledged - revoked[0].acknowledged)
