"""Mints beside a thousand revocations a second: two replicas on one PostgreSQL, one mints and the other revokes.

Mints take no lock, so the database has nothing to make them wait for. What they share all the same is the machine:
asked for as fast as they come, they have what the storm leaves of it; at a steady rate, they show who waits for whom.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.authority.tokens import Step, repeating
from bench.live.command import wait_for
from bench.live.pace import Ask, Paced, ask_at_rate, rate_of, revoke_at_rate
from bench.live.stand import AUDIENCE, Asker, Stand
from bench.live.wire import Answer, Connection, basic, request
from bench.measure import Figure
from bench.table import Row, Section

_CLIENTS: Final = 16
_RATE: Final = 1000.0  # a second
_OFFERED: Final = 1.02  # times as many
_SECONDS: Final = 4.0
_ROUNDS: Final = 4
_REVOKING: Final = 32  # connections
_STEADY: Final = 500.0  # mints a second


@dataclass(slots=True)
class _Mints:
    """A figure for each round: mints a second, and the replica's processor time for one, in seconds.

    ``steady`` are those that were asked for at a steady rate.
    """

    rates: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    steady: list[list[Paced]] = field(default_factory=list)


def measure(authority: Stand, *, quick: bool) -> Section:
    """By turns with and without the storm."""
    rounds, seconds = (2, 0.5) if quick else (_ROUNDS, _SECONDS)
    steps = [_minting(authority, f"mints-{number}") for number in range(_CLIENTS)]
    with authority.replica() as replica:
        alone, beside, storms = wait_for(_measured(authority, replica.url, steps, rounds, seconds))
    slowest = [1000 * max(one.took for one in storm) for storm in storms]
    both = zip(beside.rates, alone.rates, strict=True)
    costs = zip(beside.spent, alone.spent, strict=True)
    steady = zip(map(rate_of, beside.steady), map(rate_of, alone.steady), strict=True)
    rows = [
        Row("mints, no revocations", Figure.of(alone.rates), "a second"),
        Row("mints beside the revocations", Figure.of(beside.rates), "a second"),
        Row("beside against without", Figure.of([one / other for one, other in both]), "times", 0.9),
        Row("processor time of a mint, the same way", Figure.of([one / other for one, other in costs]), "x"),
        Row(
            f"the same, {_STEADY:.0f} a second asked for",
            Figure.of([one / other for one, other in steady]),
            "times",
            0.9,
        ),
        Row("how long such a mint took, no revocations", _took(alone.steady), "ms"),
        Row("how long it took beside them", _took(beside.steady), "ms"),
        Row("revocations acknowledged", Figure.of([rate_of(storm) for storm in storms]), "a second", _RATE),
        Row("how long one took", Figure.of([1000 * one.took for storm in storms for one in storm]), "ms"),
        Row("how long the slowest took", Figure.exactly(max(slowest)), "ms", 100),
    ]
    told = f"Mints from {_CLIENTS} clients beside 1,000 revocations a second, two replicas on PostgreSQL"
    return Section("beside-a-storm", told, rows)


def _minting(authority: Stand, client: str) -> Step:
    secret = authority.add_client(client, "client_credentials")
    form = {"grant_type": "client_credentials", "audience": AUDIENCE}
    return repeating(request("POST", "/token", headers=basic(client, secret), form=form))


async def _measured(
    authority: Stand, revoking: str, steps: Sequence[Step], rounds: int, seconds: float
) -> tuple[_Mints, _Mints, list[list[Paced]]]:
    alone, beside, storms = _Mints(), _Mints(), []
    bearer = authority.bearer
    async with Asker(authority.url) as minting, Asker(revoking) as others:
        mints, revocations = await minting.several(len(steps)), await others.several(_REVOKING)
        await _mint(authority, mints, steps, _Mints(), asyncio.create_task(asyncio.sleep(seconds / 2)))
        for _ in range(rounds):
            await _mint(authority, mints, steps, alone, asyncio.create_task(asyncio.sleep(seconds)))
            storm = asyncio.create_task(revoke_at_rate(revocations, bearer, rate=_OFFERED * _RATE, seconds=seconds))
            await _mint(authority, mints, steps, beside, storm)
            storms.append(storm.result())
            alone.steady.append(await _steady(mints, steps, seconds))
            storm = asyncio.create_task(revoke_at_rate(revocations, bearer, rate=_OFFERED * _RATE, seconds=seconds))
            beside.steady.append(await _steady(mints, steps, seconds))
            storms.append(await storm)
    return alone, beside, storms


async def _steady(connections: Sequence[Connection], steps: Sequence[Step], seconds: float) -> list[Paced]:
    def worker(connection: Connection, step: Step) -> Ask:
        async def ask() -> Answer:
            return await step(connection)

        return ask

    return await ask_at_rate(list(map(worker, connections, steps)), rate=_STEADY, seconds=seconds)


def _took(rounds: Sequence[Sequence[Paced]]) -> Figure:
    return Figure.of([1000 * one.took for each in rounds for one in each])


async def _mint(
    authority: Stand,
    connections: Sequence[Connection],
    steps: Sequence[Step],
    mints: _Mints,
    meanwhile: "asyncio.Task[list[Paced]] | asyncio.Task[None]",
) -> None:
    """Mint as fast as it goes, as long as that task lasts."""
    count, begun, spent = 0, time.monotonic(), authority.spent()

    async def work(connection: Connection, step: Step) -> None:
        nonlocal count
        while not meanwhile.done():
            await step(connection)
            count += 1

    async with asyncio.TaskGroup() as group:
        for connection, step in zip(connections, steps, strict=True):
            group.create_task(work(connection, step))
    await meanwhile
    mints.rates.append(count / (time.monotonic() - begun))
    mints.spent.append((authority.spent() - spent) / count)
