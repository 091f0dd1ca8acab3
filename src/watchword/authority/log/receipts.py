"""Receipts: which guards have taken a change in, and the table of guards that follow."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from sqlalchemy import RowMapping, select

from watchword.authority.authority import Authority
from watchword.authority.http import Body, Call
from watchword.authority.log.head import Head, read_head
from watchword.authority.schema import entries, followers
from watchword.core.cutoffs import Position
from watchword.errors import InvalidField, NotFound

_LATENESS = 1.0  # seconds by which a sign of life may reach the database late


class FollowingGuard(msgspec.Struct, frozen=True):
    """A process that follows the feed. ``behind`` is how many entries it lacks; times are in seconds since 1970.

    ``silent``: it has not asked for longer than the staleness that it declared, so that it accepts nothing.
    """

    client: str
    guard: str
    address: str
    position: str
    behind: int
    stale: float
    seen_at: float
    silent: bool


class FollowingGuards(msgspec.Struct, frozen=True):
    """All guards that asked in the last hour, by client and name."""

    items: list[FollowingGuard]


class ReceiptQuery(Body, frozen=True):
    """The position that a change returned."""

    position: Annotated[str, Meta(max_length=64)]


class Receipt(msgspec.Struct, frozen=True):
    """How one guard stands to a change. ``milliseconds`` is from the change to its confirmation.

    A guard that has gone further since tells when it came there: its time is then too long, never too short.
    """

    client: str
    guard: str
    state: Literal["confirmed", "waiting", "silent"]
    milliseconds: float | None


class Receipts(msgspec.Struct, frozen=True):
    """Who has taken a change in. ``done``: every guard has confirmed, or is silent and accepts nothing.

    ``milliseconds`` is the time of the slowest that has confirmed.
    """

    position: str
    at: float
    done: bool
    confirmed: int
    silent: int
    total: int
    milliseconds: float | None
    guards: list[Receipt]


async def list_guards(authority: Authority, call: Call[None]) -> FollowingGuards:  # noqa: ARG001
    """The guards that follow the feed, and how far each has come."""
    await authority.followers.write()
    async with authority.database.reading() as connection:
        at = await read_head(connection)
        rows = (await connection.execute(_by_name)).mappings().all()
    return FollowingGuards([_following(row, at) for row in rows])


async def show_receipts(authority: Authority, call: Call[ReceiptQuery]) -> Receipts:
    """Which guards have taken in everything up to a position, and how long it took them."""
    position = _parsed(call.input.position)
    await authority.followers.write()
    async with authority.database.reading() as connection:
        at = await read_head(connection)
        written = select(entries.c.at).where(entries.c.position == position.number)
        since = (await connection.execute(written)).scalar_one_or_none() if position.epoch == at.epoch else None
        rows = (await connection.execute(_by_name)).mappings().all()
    if since is None:
        raise NotFound("no entry at that position, or it is forgotten")
    guards = [_receipt(row, position, since, at) for row in rows if row["seen_at"] + _patience(row) >= since]
    times = [each.milliseconds for each in guards if each.milliseconds is not None]
    states = [each.state for each in guards]
    return Receipts(
        position=str(position),
        at=since,
        done="waiting" not in states,
        confirmed=states.count("confirmed"),
        silent=states.count("silent"),
        total=len(guards),
        milliseconds=max(times, default=None),
        guards=guards,
    )


_by_name = select(followers).order_by(followers.c.client, followers.c.name)


def _patience(row: RowMapping) -> float:
    """How long a guard may be silent before it surely accepts nothing.

    Its knowledge is dated by when it asked, and it asks again after a quarter of its staleness at the latest.
    """
    return float(row["stale"]) * 1.25 + _LATENESS


def _silent(row: RowMapping, at: Head) -> bool:
    return bool(row["seen_at"] + _patience(row) < at.now)


def _following(row: RowMapping, at: Head) -> FollowingGuard:
    here = row["epoch"] == at.epoch
    return FollowingGuard(
        row["client"],
        row["name"],
        row["address"],
        str(Position(row["epoch"], row["number"])) if row["epoch"] else "",
        max(at.number - row["number"], 0) if here else at.number,
        row["stale"],
        row["seen_at"],
        _silent(row, at),
    )


def _receipt(row: RowMapping, position: Position, since: float, at: Head) -> Receipt:
    if row["epoch"] == position.epoch and row["number"] >= position.number:
        took = max(row["confirmed_at"] - since, 0.0) * 1000
        return Receipt(row["client"], row["name"], "confirmed", round(took, 1))
    return Receipt(row["client"], row["name"], "silent" if _silent(row, at) else "waiting", None)


def _parsed(text: str) -> Position:
    try:
        return Position.parse(text)
    except ValueError:
        reason = "it is no position"
        raise InvalidField(reason, field="position", reason=reason) from None
