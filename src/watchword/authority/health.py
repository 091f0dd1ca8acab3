"""Whether the process lives, and whether it can serve."""

from typing import Any

from watchword.authority.authority import Authority
from watchword.authority.http import Call
from watchword.authority.log.head import look_at_head
from watchword.errors import HistoryLost


async def live(authority: Authority, call: Call[None]) -> dict[str, str]:  # noqa: ARG001
    """The process answers; nothing else is looked at, so that a lost database restarts nobody."""
    return {"status": "live"}


async def ready(authority: Authority, call: Call[None]) -> dict[str, Any]:  # noqa: ARG001
    """The database answers and the feed is open; 503 otherwise."""
    at = await look_at_head(authority.database)
    if at.alarm is not None:
        raise HistoryLost(at.alarm)
    return {"status": "ready", "position": str(at.position)}
