"""From a revocation to its first refusal, with one guard in a process of its own."""

import asyncio
import json
import random
import sqlite3
import statistics
import time
from contextlib import AsyncExitStack
from typing import Any, Final, Protocol

import asyncpg

from bench.live.command import wait_for
from bench.live.processes import Child
from bench.live.stand import AUDIENCE, Asker, Stand, folder, revocation
from bench.live.wire import basic, request
from bench.measure import Figure
from bench.table import Row, Section
from watchword.core.compact import read_unverified

_CLIENT: Final = "watched"
_TOKENS: Final = 300
_PAUSE: Final = (0.003, 0.010)  # seconds before each: the follower asks again meanwhile, and nothing runs in step
_GOALS: Final = {"SQLite": (2.0, 5.0), "PostgreSQL": (4.0, 7.0)}  # ms: p50, p99


class BareCommit(Protocol):
    """The least that a durable change can be: a context manager, which writes one row when it is called."""

    name: str
    """Of the database."""

    async def __aenter__(self) -> Any: ...
    async def __aexit__(self, *_: object) -> None: ...

    async def write(self) -> None:
        """Write a row; it is durable afterwards."""


class SqliteCommit:
    """A row, in WAL mode and synchronous, as the authority has its file."""

    name = "SQLite"

    async def __aenter__(self) -> None:
        self._stack = AsyncExitStack()
        self._connection = sqlite3.connect(self._stack.enter_context(folder()) / "bare.db", isolation_level=None)
        self._stack.callback(self._connection.close)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "CREATE TABLE bare (at REAL)"):
            self._connection.execute(statement)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def write(self) -> None:
        """One statement is one transaction."""
        self._connection.execute("INSERT INTO bare VALUES (0)")


class PostgresCommit:
    """A row and a NOTIFY, in one round trip."""

    name = "PostgreSQL"

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> None:
        self._connection = await asyncpg.connect(self._url)
        await self._connection.execute("CREATE TABLE bare (at double precision)")

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def write(self) -> None:
        """Statements that are sent together are one transaction."""
        await self._connection.execute("INSERT INTO bare VALUES (0); NOTIFY bare")


def measure(authority: Stand, bare: BareCommit, *, quick: bool) -> Section:
    """Revoke one token after the other, each followed by a guard."""
    secret = authority.add_client(_CLIENT, "feed", "client_credentials")
    since_sent, since_acknowledged, commits = wait_for(_revocations(authority, secret, bare, 20 if quick else _TOKENS))
    p50, p99 = _GOALS[bare.name]
    rows = []
    for what, seconds in (("acknowledged", since_acknowledged), ("sent", since_sent)):
        rows.append(Row(f"from {what} to refused, p50", _milliseconds(seconds), "ms", p50))
        rows.append(Row(f"from {what} to refused, p99", _p99(seconds), "ms", p99))
    rows.append(Row("a bare durable commit, p50", _milliseconds(commits), "ms"))
    rows.append(Row("a bare durable commit, p99", _p99(commits), "ms"))
    return Section(f"latency-{bare.name}", f"From a revocation to the first refusal, {bare.name}, one guard", rows)


async def _revocations(
    authority: Stand, secret: str, bare: BareCommit, count: int
) -> tuple[list[float], list[float], list[float]]:
    """For each token: seconds from sent and from acknowledged to refused, and those of a bare commit before it."""
    bearer, commits = authority.bearer, []
    since_sent, since_acknowledged = [], []
    told = {"issuer": authority.issuer, "audience": AUDIENCE, "client_id": _CLIENT, "client_secret": secret}
    async with Asker(authority.url) as asker, bare, Child.run("bench.revocation.watcher", json.dumps(told)) as watcher:
        connection = await asker.open()
        form = {"grant_type": "client_credentials", "audience": AUDIENCE}
        ask_token = request("POST", "/token", headers=basic(_CLIENT, secret), form=form)
        for _ in range(count):
            token = (await connection.ask(ask_token)).json["access_token"]
            revoke = revocation(bearer, "token", read_unverified(token)[1]["jti"])
            assert await watcher.ask(token) == "accepted"
            await asyncio.sleep(random.uniform(*_PAUSE))
            begun = time.monotonic()
            await bare.write()
            commits.append(time.monotonic() - begun)
            await asyncio.sleep(random.uniform(*_PAUSE))
            sent = time.monotonic()
            answer = await connection.ask(revoke)
            answer.expect()
            refused = float(await watcher.line())
            since_sent.append(refused - sent)
            since_acknowledged.append(refused - answer.at)
    return since_sent, since_acknowledged, commits


def _milliseconds(seconds: list[float]) -> Figure:
    return Figure.of([1000 * one for one in seconds])


def _p99(seconds: list[float]) -> Figure:
    return Figure.exactly(1000 * statistics.quantiles(seconds, n=100, method="inclusive")[98])
