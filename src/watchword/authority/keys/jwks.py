"""The public keys as a JWK Set, for verifiers that do not follow the feed."""

from typing import Any

from watchword.authority.answers import Cached
from watchword.authority.authority import Authority
from watchword.authority.http import Call
from watchword.authority.keys.keyring import published_jwks


async def jwks(authority: Authority, call: Call[None]) -> Cached[dict[str, list[dict[str, Any]]]]:  # noqa: ARG001
    """The keys that tokens verify with (RFC 7517 section 5)."""
    async with authority.database.reading() as connection:
        return Cached(await published_jwks(connection), authority.settings.jwks_cache_seconds)
