"""Whether the process lives, and whether it can serve."""

from typing import Any

from watchword.authority.authority import Authority
from watchword.authority.http import Call
from watchword.authority.log.head import look_at_head
from watchword.errors import HistoryLost, Stale


async def live(authority: Authority, call: Call[None]) -> dict[str, str]:  # noqa: ARG001
    """The process answers; nothing else is looked at, so that a lost database restarts nobody."""
    return {"status": "live"}


async def ready(authority: Authority, call: Call[None]) -> dict[str, Any]:  # noqa: ARG001
    """The database answers, the feed is open, and our own guard knows enough to let anybody in; 503 otherwise."""
    at = await look_at_head(authority.database)
    if at.alarm is not None:
        raise HistoryLost(at.alarm)
    known = authority.guard.status()
    if not known.fresh:
        raise Stale(f"our own guard does not follow: {known.last_error or 'nothing failed'}")
    return {"status": "ready", "position": str(at.position)}
