"""Forty sign-ins a second with real password hashes, and what token checks and refreshes notice of them."""

import asyncio
import secrets
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

from argon2 import PasswordHasher

from bench.authority.tokens import refresh, rotating
from bench.live.command import wait_for
from bench.live.pace import Ask, Paced, ask_at_rate, rate_of
from bench.live.people import session, settle
from bench.live.stand import Asker, Stand
from bench.live.wire import Answer, Connection, request
from bench.measure import Figure
from bench.table import Row, Section
from watchword.authority.settings import Settings

_PEOPLE: Final = 20
_SIGN_INS: Final = 40.0  # a second
_CHECKS: Final = 100.0
_REFRESHES: Final = 40.0
_SECONDS: Final = 3.0  # less than a server keeps a connection that is silent
_ROUNDS: Final = 5
_CONNECTIONS: Final = 8
_WAITING: Final = 32  # sign-ins at once
_GOAL: Final = 2.0


@dataclass(slots=True)
class _Answers:
    """What was answered, in all rounds."""

    checks: list[Paced] = field(default_factory=list)
    refreshes: list[Paced] = field(default_factory=list)
    sign_ins: list[list[Paced]] = field(default_factory=list)


def measure(authority: Stand, *, quick: bool) -> Section:
    """By turns with and without sign-ins."""
    people = settle(authority, _PEOPLE, audience=authority.issuer)
    rounds, seconds = (1, 1.0) if quick else (_ROUNDS, _SECONDS)
    idle, busy = wait_for(_measured(authority, people, rounds, seconds))
    signed_in = [one for each in busy.sign_ins for one in each]
    good = [one for one in signed_in if one.answer.status == 200]
    rates = [rate_of(each) * sum(one.answer.status == 200 for one in each) / len(each) for each in busy.sign_ins]
    rows = [
        Row("a bare password hash", Figure.exactly(_one_hash()), "ms"),
        Row("sign-ins that went well", Figure.exactly(statistics.mean(rates)), "a second"),
        Row("sign-ins that were refused", Figure.exactly(len(signed_in) - len(good)), ""),
        Row("how long a sign-in took", Figure.of([1000 * one.took for one in good]), "ms"),
    ]
    for what, alone, beside in (
        ("token checks", idle.checks, busy.checks),
        ("refreshes", idle.refreshes, busy.refreshes),
    ):
        rows.append(Row(f"p99 of {what}, no sign-ins", Figure.exactly(_p99(alone)), "ms"))
        rows.append(Row(f"p99 of {what} beside them", Figure.exactly(_p99(beside)), "ms"))
        rows.append(Row(f"p99 of {what}, beside against without", _ratio(beside, alone), "x", _GOAL))
    told = f"{_SIGN_INS:.0f} sign-ins, {_CHECKS:.0f} checks and {_REFRESHES:.0f} refreshes a second (SQLite)"
    return Section("sign-ins", told, rows)


async def _measured(
    authority: Stand, people: Sequence[bytes], rounds: int, seconds: float
) -> tuple[_Answers, _Answers]:
    async with Asker(authority.url) as asker:
        connections = await asker.several(2 * _CONNECTIONS + _WAITING)
        first = [await session(connections[0], sign_in) for sign_in in people[:_CONNECTIONS]]
        checks = [
            _asking(connection, request("GET", "/account", headers={"Authorization": f"Bearer {one['access_token']}"}))
            for connection, one in zip(connections, first, strict=False)
        ]
        refreshes = [
            _refreshing(connection, one["refresh_token"])
            for connection, one in zip(connections[_CONNECTIONS:], first, strict=False)
        ]
        turns = cycle(people)
        sign_ins = [_asking(connection, *(next(turns) for _ in people)) for connection in connections[-_WAITING:]]
        idle, busy = _Answers(), _Answers()
        for _ in range(rounds):
            for answers in (idle, busy):
                async with asyncio.TaskGroup() as group:
                    checking = group.create_task(ask_at_rate(checks, rate=_CHECKS, seconds=seconds))
                    trading = group.create_task(ask_at_rate(refreshes, rate=_REFRESHES, seconds=seconds))
                    if answers is busy:
                        signing_in = group.create_task(ask_at_rate(sign_ins, rate=_SIGN_INS, seconds=seconds))
                answers.checks += checking.result()
                answers.refreshes += trading.result()
            busy.sign_ins.append(signing_in.result())
        for one in (*idle.checks, *busy.checks):
            one.answer.expect()
        return idle, busy


def _asking(connection: Connection, *asked: bytes) -> Ask:
    """These questions in turn."""
    questions = cycle(asked)

    async def ask() -> Answer:
        return await connection.ask(next(questions))

    return ask


def _refreshing(connection: Connection, first: str) -> Ask:
    step = rotating(first, refresh)

    async def ask() -> Answer:
        return await step(connection)

    return ask


def _one_hash() -> float:
    """Milliseconds of processor time, with the settings as they come."""
    settings = Settings()
    hasher = PasswordHasher(settings.password_rounds, settings.password_memory_kib, 1)
    taken = []
    for _ in range(5):
        begun = time.thread_time()
        hasher.hash(secrets.token_urlsafe(18))
        taken.append(1000 * (time.thread_time() - begun))
    return statistics.median(taken)


def _p99(answers: Sequence[Paced]) -> float:
    return 1000 * statistics.quantiles([one.took for one in answers], n=100, method="inclusive")[98]


def _ratio(beside: Sequence[Paced], alone: Sequence[Paced]) -> Figure:
    return Figure.exactly(_p99(beside) / _p99(alone))
