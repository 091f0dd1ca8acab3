"""From a revocation to the close that the client sees, and what open connections cost their server."""

import asyncio
import json
import secrets
import statistics
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from examples.processes import Process, address, free_port

from bench.live.command import wait_for
from bench.live.processes import ROOT, Child, processor_clock, resident
from bench.live.stand import Asker, Stand, folder, revocation
from bench.live.wire import Connection, basic, request
from bench.measure import Figure
from bench.table import Row, Section
from watchword.core.compact import read_unverified

_COUNTS: Final = (1, 1000, 10_000)
_EVENTS: Final = 300
_NEWS: Final = 300
_IDLE_SECONDS: Final = 20.0
_SETTLE: Final = 0.5  # seconds: what was opened has come to rest
_PAUSE: Final = 0.005  # seconds between revocations: the follower asks again meanwhile
_CLIENT: Final = "connected"
_UNAUTHORIZED: Final = 3000


@dataclass(slots=True)
class _Figures:
    """What was measured at one service."""

    ends: dict[int, list[float]] = field(default_factory=dict)  # seconds, by connections
    opening: float = 0.0  # seconds of processor time for each connection
    memory: float = 0.0  # bytes for each
    idle: float = 0.0  # of a core, with all of them open
    news: float = 0.0  # seconds of processor time for each cutoff that concerns none


def measure(authority: Stand, *, quick: bool) -> Iterator[Section]:
    """The service behind the wall, then one whose guard forgets whom it has let in."""
    counts = (1, 20, 100) if quick else _COUNTS
    work = _Work(authority, counts, 5 if quick else _EVENTS, 10 if quick else _NEWS, 1.0 if quick else _IDLE_SECONDS)
    ours, bare = wait_for(work.done())
    rows = []
    for count in counts:
        told, most = (f"{count:,} open" if count > 1 else "1 open"), count == counts[-1]
        times = [1000 * one for one in ours.ends[count]]
        rows.append(Row(f"{told}: from acknowledged to closed, p50", Figure.of(times), "ms", 20 if most else 10))
        p99 = statistics.quantiles(times, n=100, method="inclusive")[98]
        rows.append(Row(f"{told}: from acknowledged to closed, p99", Figure.exactly(p99), "ms", 50))
    yield Section("closed", "From a revocation to the close that the client sees (SQLite, uvicorn)", rows)
    yield Section(
        "open",
        f"What {counts[-1]:,} open WebSockets cost their server, and the same one without a lookout",
        [
            Row("memory for each", Figure.exactly(ours.memory / 1000), "kB"),
            Row("without a lookout", Figure.exactly(bare.memory / 1000), "kB"),
            Row("processor time to open each", Figure.exactly(1e6 * ours.opening), "µs"),
            Row("without a lookout", Figure.exactly(1e6 * bare.opening), "µs"),
            Row("all of them idle: share of a core", Figure.exactly(ours.idle), "cores", 0.05),
            Row("without a lookout", Figure.exactly(bare.idle), "cores"),
            Row(
                "a cutoff that concerns none of them, the follower's work included",
                Figure.exactly(1e6 * ours.news),
                "µs",
            ),
            Row("without a lookout", Figure.exactly(1e6 * bare.news), "µs"),
        ],
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """What there is to do at both services."""

    authority: Stand
    counts: tuple[int, ...]
    events: int
    news: int
    idle: float

    async def done(self) -> tuple[_Figures, _Figures]:
        """Ours, and the bare one."""
        secret = self.authority.add_client(_CLIENT, "feed", "client_credentials")
        async with Asker(self.authority.url) as asker:
            mint = await asker.open()
            tokens = [await _token(mint, secret) for _ in range(self.counts[-1])]
            ours, bare = _Figures(), _Figures()
            async with _service(self.authority, secret, bare=False) as (process, clients):
                opened = 0
                for count in self.counts:
                    await self._open(process, clients, tokens[opened : count - 1], ours)
                    opened = count - 1
                    connection = await asker.open()  # a silent one is closed after some seconds
                    ours.ends[count] = [await self._end(clients, connection, secret) for _ in range(self.events)]
                await self._rest(process, asker, ours)
                assert (await _ask(clients, count=True))["open"] == opened
            async with _service(self.authority, secret, bare=True) as (process, clients):
                await self._open(process, clients, tokens[: self.counts[-1] - 1], bare)
                await self._rest(process, asker, bare)
            return ours, bare

    async def _open(self, process: Process, clients: Child, tokens: list[str], figures: _Figures) -> None:
        """Open some that stay; the largest crowd's are measured."""
        if not tokens:
            return
        assert process.pid is not None
        clock, memory = processor_clock(process.pid), resident(process.pid)
        begun = clock()
        await _ask(clients, open=tokens)
        await asyncio.sleep(_SETTLE)
        figures.opening = (clock() - begun) / len(tokens)
        figures.memory = (resident(process.pid) - memory) / len(tokens)

    async def _end(self, clients: Child, connection: Connection, secret: str) -> float:
        """Revoke one more; seconds from the acknowledgement until its client sees the close."""
        token = await _token(connection, secret)
        await _ask(clients, open=[token], ends=True)
        await asyncio.sleep(_PAUSE)
        answer = await connection.ask(revocation(self.authority.bearer, "token", read_unverified(token)[1]["jti"]))
        answer.expect()
        end = json.loads(await clients.line())
        assert end["code"] == _UNAUTHORIZED
        return float(end["at"] - answer.at)

    async def _rest(self, process: Process, asker: Asker, figures: _Figures) -> None:
        """What they cost while nothing happens, and while it happens to others."""
        assert process.pid is not None
        clock = processor_clock(process.pid)
        begun = clock()
        await asyncio.sleep(self.idle)
        figures.idle = (clock() - begun) / self.idle
        connection, bearer = await asker.open(), self.authority.bearer
        begun = clock()
        for _ in range(self.news):
            (await connection.ask(revocation(bearer, "token", secrets.token_hex(11)))).expect()
            await asyncio.sleep(_PAUSE)
        figures.news = (clock() - begun) / self.news


async def _token(connection: Connection, secret: str) -> str:
    form = {"grant_type": "client_credentials", "audience": "orders"}
    answer = await connection.ask(request("POST", "/token", headers=basic(_CLIENT, secret), form=form))
    return str(answer.json["access_token"])


async def _ask(clients: Child, **told: object) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await clients.ask(json.dumps(told)))
    return answer


@asynccontextmanager
async def _service(authority: Stand, secret: str, *, bare: bool) -> AsyncIterator[tuple[Process, Child]]:
    port = free_port()
    options = ["--port", str(port), "--log-level", "warning", "--ws-ping-interval", "0", "--backlog", "2048"]
    command = [sys.executable, "-m", "uvicorn", "bench.connections.service:app", *options]
    environ = {
        "SERVICE_ISSUER": authority.issuer,
        "WATCHWORD_CLIENT_ID": _CLIENT,
        "WATCHWORD_CLIENT_SECRET": secret,
        **({"SERVICE_BARE": "1"} if bare else {}),
    }
    with folder() as data:
        log = data / "service.log"
        with Process("the service", command, address(port), environ=environ, log=log, folder=ROOT) as process:
            process.wait_until_ready("/")
            async with Child.run("bench.connections.clients", process.url) as clients:
                yield process, clients
