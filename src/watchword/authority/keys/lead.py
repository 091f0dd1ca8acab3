"""How long a next key must have been published before it signs, so that nobody meets a key that he cannot know.

A guard that has not heard of it in that time is older than its bound and refuses everything; who keeps a copy of the
JWK Set has asked for it again.
"""

from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.database import clock
from watchword.authority.schema import followers, keys
from watchword.authority.settings import Settings

USUAL_STALENESS: Final = 30.0
"""The bound of guards that nothing is known of, as where anybody may follow the feed: seconds."""
_MARGIN: Final = 10.0  # seconds: the time of a transaction, and of an answer on its way


async def lead_left(connection: AsyncConnection, settings: Settings) -> float:
    """For how many seconds the next key must not sign yet; 0 if it may."""
    query = select(keys.c.state, keys.c.created_at).where(keys.c.state.in_(("current", "next")))
    created: dict[str, float] = dict((await connection.execute(query)).all())
    if created["next"] == created["current"]:
        return 0.0  # made in one transaction: whoever knows the current one knows this one too
    stale = (await connection.execute(select(func.max(followers.c.stale)))).scalar_one() or 0.0
    lead = max(stale, USUAL_STALENESS, settings.jwks_cache_seconds) + _MARGIN
    return max(0.0, created["next"] + lead - await clock(connection))
