"""Tokens a second over HTTP: a client's own, and refreshes that rotate."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bench import world
from bench.live.command import wait_for
from bench.live.people import PUBLIC, session, settle
from bench.live.stand import AUDIENCE, Asker, Stand
from bench.live.wire import Answer, Connection, basic, request
from bench.measure import Figure, each
from bench.table import Row, Section

SQLITE: Final = "Watchword, SQLite"
POSTGRES: Final = "Watchword, PostgreSQL"
CONNECTIONS: Final = 16
_CLIENT: Final = "minting"
_ROUNDS: Final = 9
_SECONDS: Final = 1.0  # a turn
_WARM: Final = 0.5
_SIGNATURES: Final = 1.8
_FASTER: Final = {"oidc-provider": 1.2, "simplejwt": 6.0}

Kind = Literal["client_credentials", "refresh"]
Step = Callable[[Connection], Awaitable[Answer]]
"""Gets one more token over a connection."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A server of tokens: where it is, what it has spent in seconds, and for each kind a step for each connection."""

    url: str
    spent: Callable[[], float]
    steps: Mapping[Kind, Sequence[Step]]


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one turn gave: tokens a second, and the server's processor time for each in units of bare signatures."""

    rate: float
    signatures: float


def repeating(ask: bytes) -> Step:
    """The same question each time."""

    async def step(connection: Connection) -> Answer:
        answer = await connection.ask(ask)
        answer.expect()
        return answer

    return step


def rotating(
    first: str, ask: Callable[[str], bytes], *, member: str = "refresh_token"
) -> Callable[[Connection], Awaitable[Answer]]:
    """Each answer brings the token for the next question in a member."""
    token = first

    async def step(connection: Connection) -> Answer:
        nonlocal token
        answer = await connection.ask(ask(token))
        token = answer.json[member]
        return answer

    return step


def ours(authority: Stand) -> Subject:
    """An authority with a client of its own, and people who are signed in."""
    secret = authority.add_client(_CLIENT, "client_credentials")
    form = {"grant_type": "client_credentials", "audience": AUDIENCE}
    own = request("POST", "/token", headers=basic(_CLIENT, secret), form=form)
    people = settle(authority, CONNECTIONS)
    sessions = wait_for(_sessions(authority, people))
    return Subject(
        authority.url,
        authority.spent,
        {
            "client_credentials": [repeating(own)] * CONNECTIONS,
            "refresh": [rotating(first, refresh) for first in sessions],
        },
    )


def refresh(token: str) -> bytes:
    """The question that trades a refresh token."""
    form = {"grant_type": "refresh_token", "client_id": PUBLIC, "refresh_token": token}
    return request("POST", "/token", form=form)


async def _sessions(authority: Stand, people: Sequence[bytes]) -> list[str]:
    async with Asker(authority.url) as asker:
        connection = await asker.open()
        return [(await session(connection, sign_in))["refresh_token"] for sign_in in people]


def measure(subjects: Mapping[str, Subject], *, quick: bool) -> Section:
    """All in turn, with a bare signature before each."""
    rounds, seconds = (2, 0.2) if quick else (_ROUNDS, _SECONDS)
    signer = world.key("RS256", 2048)
    sign = each(signer.sign, [b"." * 600] * 16)
    bare: list[float] = []
    turns: dict[tuple[str, Kind], list[_Turn]] = {}
    for subject in subjects.values():
        for kind in subject.steps:
            wait_for(_turn(subject, kind, _WARM, sign()))
    for _ in range(rounds):
        for name, subject in subjects.items():
            for kind in subject.steps:
                bare.append(sign())
                turns.setdefault((name, kind), []).append(wait_for(_turn(subject, kind, seconds, bare[-1])))
    rows = [Row("a bare signature, RS256-2048", Figure.of([one / 1000 for one in bare]), "µs")]
    for (name, kind), taken in turns.items():
        rows.append(Row(f"{name}: {kind}", Figure.of([turn.rate for turn in taken]), "a second"))
        goal = _SIGNATURES if name == SQLITE else None
        spent = Figure.of([turn.signatures for turn in taken])
        rows.append(Row(f"{name}: {kind}, processor time in bare signatures", spent, "x", goal))
    rows += _against(turns)
    return Section("tokens", f"Tokens a second, RS256-2048, one process, {CONNECTIONS} connections", rows)


def _against(turns: Mapping[tuple[str, Kind], Sequence[_Turn]]) -> list[Row]:
    rows = []
    for (name, kind), theirs in turns.items():
        for mine in (SQLITE, POSTGRES):
            if name in _FASTER:
                pairs = zip(turns[mine, kind], theirs, strict=True)
                times = Figure.of([one.rate / other.rate for one, other in pairs])
                goal = _FASTER[name] if mine == SQLITE else None
                rows.append(Row(f"{mine}: {kind}, against {name}", times, "times", goal))
    return rows


async def _turn(subject: Subject, kind: Kind, seconds: float, signature: float) -> _Turn:
    """Each connection asks as soon as it was answered. ``signature`` is what a bare one takes, in nanoseconds."""
    steps, count = subject.steps[kind], 0
    async with Asker(subject.url) as asker:
        connections = await asker.several(len(steps))
        begun, spent = time.monotonic(), subject.spent()

        async def work(connection: Connection, step: Step) -> None:
            nonlocal count
            while time.monotonic() < begun + seconds:
                await step(connection)
                count += 1

        async with asyncio.TaskGroup() as group:
            for connection, step in zip(connections, steps, strict=True):
                group.create_task(work(connection, step))
        elapsed, spent = time.monotonic() - begun, subject.spent() - spent
    return _Turn(count / elapsed, spent / count * 1e9 / signature)
