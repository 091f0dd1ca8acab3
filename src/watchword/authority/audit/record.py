"""One line for each change, in the same transaction as the change."""

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.database import Now, after_commit
from watchword.authority.engines.prepared import Prepared, slot
from watchword.authority.schema import audit

_log: Final = logging.getLogger("watchword.audit")


async def record(
    connection: AsyncConnection,
    action: str,
    *,
    actor: str,
    target: str = "",
    outcome: str = "done",
    address: str = "",
    detail: str = "",
) -> None:
    """Write one line; never a password, a token or a secret."""
    line = Line(action, actor, target=target, outcome=outcome, address=address, detail=detail)
    await record_all(connection, [line])


class Line(NamedTuple):
    """Who did what to whom, from where, and how it ended."""

    action: str
    actor: str
    target: str = ""
    outcome: str = "done"
    address: str = ""
    detail: str = ""


_WRITE: Final = Prepared(insert(audit).values(at=Now(), **{name: slot(name) for name in Line._fields}))


async def record_all(connection: AsyncConnection, lines: Sequence[Line]) -> None:
    """Write several lines at once."""
    rows = [line._replace(detail=line.detail[:500])._asdict() for line in lines]
    await _WRITE.run_all(connection, rows)
    after_commit(connection, lambda: _tell(rows))


def _tell(rows: Sequence[dict[str, str]]) -> None:
    for values in rows:
        _log.info("%(action)s by %(actor)s on %(target)s: %(outcome)s", values, extra={"audit": values})
