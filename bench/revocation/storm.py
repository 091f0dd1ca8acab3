"""A thousand revocations a second, and a hundred followers that keep up with them."""

import json
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from bench.live.command import wait_for
from bench.live.pace import Paced, rate_of, revoke_at_rate
from bench.live.processes import Child
from bench.live.stand import Asker, Stand
from bench.live.wire import basic
from bench.measure import Figure
from bench.table import Row, Section

_CLIENT: Final = "storm"
_RATE: Final = 1000.0  # a second
_OFFERED: Final = 1.02  # times as many
_SECONDS: Final = 5.0
_FOLLOWERS: Final = 100
_CONNECTIONS: Final = 32
_GROWTH: Final = 10.0  # ms: a lag that grows is that of seconds, as what comes late comes ever later

Heard = Sequence[Sequence[tuple[float, int]]]


def measure(authority: Stand, *, quick: bool) -> Section:
    """How far behind the last follower is, in the first second and in the last."""
    secret = authority.add_client(_CLIENT, "feed")
    seconds = 2.0 if quick else _SECONDS
    revoked, heard = wait_for(_stormed(authority, basic(_CLIENT, secret), seconds))
    begun = revoked[0].due
    first, last = (
        Figure.of(_lags([one for one in revoked if second <= one.due - begun < second + 1], heard))
        for second in (0.0, seconds - 1)
    )
    waits = [1000 * one.took for one in revoked]
    rows = [
        Row("revocations acknowledged", Figure.exactly(rate_of(revoked)), "a second", _RATE),
        Row("how long one took", Figure.of(waits), "ms"),
        Row("how long the slowest took", Figure.exactly(max(waits)), "ms"),
        Row(f"from acknowledged until all {_FOLLOWERS} have heard, in the first second", first, "ms"),
        Row("the same in the last second", last, "ms"),
        Row("more in the last second than in the first", Figure.exactly(last.median - first.median), "ms", _GROWTH),
    ]
    return Section("storm", f"1,000 revocations a second for {seconds:.0f} s, {_FOLLOWERS} followers (SQLite)", rows)


async def _stormed(authority: Stand, headers: dict[str, str], seconds: float) -> tuple[list[Paced], Heard]:
    bearer, told = authority.bearer, json.dumps({"url": authority.url, "headers": headers})
    async with Asker(authority.url) as asker, Child.run("bench.revocation.followers", told) as followers:
        connections = await asker.several(_CONNECTIONS)
        await followers.ask(f"follow {_FOLLOWERS}")
        await followers.ask("note")
        revoked = await revoke_at_rate(connections, bearer, rate=_OFFERED * _RATE, seconds=seconds)
        heard: Heard = []
        while not heard or any(not one or one[-1][1] < _number(revoked[-1]) for one in heard):
            heard = json.loads(await followers.ask("noted"))
    return revoked, heard


def _lags(revoked: Sequence[Paced], heard: Heard) -> list[float]:
    """For each revocation, the milliseconds from its acknowledgement until every follower had it."""
    numbers = [[number for _, number in one] for one in heard]

    def last(number: int) -> float:
        return max(one[bisect_left(each, number)][0] for one, each in zip(heard, numbers, strict=True))

    return [1000 * (last(_number(one)) - one.answer.at) for one in revoked]


def _number(revoked: Paced) -> int:
    position: str = revoked.answer.json["position"]
    return int(position.rpartition(".")[2])
