"""One line for each change, in the same transaction as the change."""

import logging
from typing import Final

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.database import Now, after_commit
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
    values = {
        "actor": actor,
        "action": action,
        "target": target,
        "outcome": outcome,
        "address": address,
        "detail": detail[:500],
    }
    await connection.execute(insert(audit).values(at=Now(), **values))
    after_commit(connection, lambda: _tell(values))


def _tell(values: dict[str, str]) -> None:
    _log.info("%(action)s by %(actor)s on %(target)s: %(outcome)s", values, extra={"audit": values})
