"""One revocation heard by 1, 100 and 1,000 followers, beside a bare long poll; and what a thousand cost that wait."""

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from examples.processes import Process, address, free_port

from bench.live.command import wait_for
from bench.live.processes import ROOT, Child, processor_clock, resident
from bench.live.stand import Asker, Stand, folder, revocation
from bench.live.wire import Answer, basic, request
from bench.measure import Figure
from bench.revocation.followers import HOLD
from bench.table import Row, Section

_COUNTS: Final = (1, 100, 1000)
_EVENTS: Final = 50
_IDLE_SECONDS: Final = 2 * HOLD  # however they are spread, each asks twice in it
_CLIENT: Final = "followers"


@dataclass(slots=True)
class _Figures:
    """What was measured with so many followers, each of a server's processor time, or of an event, in seconds."""

    last_heard: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    memory: int = 0


@dataclass(slots=True)
class _Feed:
    """A server that is followed: how something happens there, which process it is, and its followers' process."""

    happen: Callable[[], Awaitable[Answer]]
    pid: int
    followers: Child
    figures: dict[int, _Figures] = field(default_factory=dict)

    async def follow(self, count: int) -> None:
        await self.followers.ask(f"follow {count}")
        self.figures[count] = _Figures()

    async def event(self, count: int) -> None:
        """Let something happen, and see who heard it when, and what it cost until all wait again."""
        clock, figures = processor_clock(self.pid), self.figures[count]
        begun = clock()
        acknowledged = (await self.happen()).at
        last = float(await self.followers.line())
        await asyncio.sleep(0.05 + 0.0003 * count)
        figures.last_heard.append(last - acknowledged)
        figures.spent.append(clock() - begun)
        figures.memory = resident(self.pid)


def measure(authority: Stand, *, quick: bool) -> Iterator[Section]:
    """Ours and the bare one in turn, with more and more followers; at last, the thousand wait."""
    counts = (1, 10, 50) if quick else _COUNTS
    ours, bare, idle = wait_for(_measured(authority, counts, 3 if quick else _EVENTS, 1.0 if quick else _IDLE_SECONDS))
    some, many = counts[1:]
    rows = []
    for count in counts:
        goal, told = (75 if count == many else None), f"{count:,} followers" if count > 1 else "1 follower"
        mine, theirs = ours.figures[count], bare.figures[count]
        rows.append(Row(f"{told}: from acknowledged until the last has heard", _scaled(mine.last_heard), "ms", goal))
        rows.append(Row(f"{told}: the same at a bare long poll", _scaled(theirs.last_heard), "ms"))
        against = [one / other for one, other in zip(mine.last_heard, theirs.last_heard, strict=True)]
        rows.append(Row(f"{told}: against it", Figure.of(against), "x", 1.3 if count == many else None))
    spent = [_scaled(feed.figures[many].spent, 1e6 / many) for feed in (ours, bare)]
    held = [(feed.figures[many].memory - feed.figures[some].memory) / (many - some) / 1000 for feed in (ours, bare)]
    rows += [
        Row(f"processor time for each of {many:,} followers and event", spent[0], "µs", 85),
        Row("the same at a bare long poll", spent[1], "µs"),
        Row("memory for each follower that is held", Figure.exactly(held[0]), "kB", 20),
        Row("the same at a bare long poll", Figure.exactly(held[1]), "kB"),
        Row(f"{many:,} followers that hear nothing: share of a core", Figure.exactly(idle), "cores", 0.1),
    ]
    yield Section("fan-out", "One revocation, many followers (SQLite)", rows)


async def _measured(authority: Stand, counts: tuple[int, ...], events: int, idle: float) -> tuple[_Feed, _Feed, float]:
    secret = authority.add_client(_CLIENT, "feed")
    headers, bearer = basic(_CLIENT, secret), authority.bearer
    async with Asker(authority.url) as asker:
        connection = await asker.open()

        async def revoke() -> Answer:
            return await connection.ask(revocation(bearer, "token", secrets.token_hex(11)))

        cursor = (await connection.ask(request("GET", "/revocations", headers=headers))).json["cursor"]
        (await revoke()).expect()
        page = (await connection.ask(request("GET", f"/revocations?after={cursor}", headers=headers))).body
        told = json.dumps({"url": authority.url, "headers": headers})
        async with Child.run("bench.revocation.followers", told) as followers, _bare_long_poll(page, headers) as bare:
            ours = _Feed(revoke, authority.pid, followers)
            for count in counts:
                for feed in (ours, bare):
                    await feed.follow(count)
                    await feed.event(count)
                    feed.figures[count] = _Figures()
                for _ in range(events):
                    for feed in (ours, bare):
                        await feed.event(count)
            begun = authority.spent()
            await asyncio.sleep(idle)
            return ours, bare, (authority.spent() - begun) / idle


@asynccontextmanager
async def _bare_long_poll(page: bytes, headers: dict[str, str]) -> AsyncIterator[_Feed]:
    """The same followers at a bare long poll, which answers with a page of ours."""
    port = free_port()
    url = address(port)
    with folder() as data:
        (data / "page").write_bytes(page)
        command = [sys.executable, str(ROOT / "bench" / "revocation" / "long_poll.py"), str(port), str(data / "page")]
        with Process("the bare long poll", command, url, environ={}, log=data / "log") as process:
            process.wait_until_ready("/")
            assert process.pid is not None
            told = json.dumps({"url": url, "headers": headers})
            async with Asker(url) as asker, Child.run("bench.revocation.followers", told) as followers:
                connection = await asker.open()
                happen = request("POST", "/")
                yield _Feed(lambda: connection.ask(happen), process.pid, followers)


def _scaled(values: list[float], factor: float = 1e3) -> Figure:
    return Figure.of([factor * value for value in values])
