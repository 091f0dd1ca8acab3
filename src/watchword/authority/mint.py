"""The mint: an access token from what one snapshot said, and nothing else of anybody's row."""

from datetime import timedelta
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from watchword.authority.accounts.directory import User
from watchword.authority.clients.registry import Client
from watchword.authority.log.head import Head
from watchword.authority.settings import Settings
from watchword.core.issuer import Issuer
from watchword.core.keys import Key


class Tokens(msgspec.Struct, frozen=True):
    """The answer of RFC 6749 section 5.1. ``expires_in`` is in seconds."""

    access_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - a type
    refresh_token: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"Tokens(expires_in={self.expires_in})"


def mint_for_user(
    settings: Settings,
    key: Key,
    at: Head,
    *,
    user: User,
    client: Client,
    audience: str,
    scopes: frozenset[str],
    session: str,
    refresh_token: str,
) -> Tokens:
    """A user's tokens. ``at`` is the snapshot in which the credential was read, before it was verified."""
    claims = {name: value for name, value in user.claims.items() if name in settings.claims}
    return _minted(settings, key, at, user.id, client, audience, user.roles, scopes, session, claims, refresh_token)


def mint_for_client(
    settings: Settings, key: Key, at: Head, *, client: Client, audience: str, scopes: frozenset[str]
) -> Tokens:
    """A client's own token: its subject is the client itself (RFC 9068 section 2.2)."""
    return _minted(settings, key, at, client.id, client, audience, client.roles, scopes, None, {}, UNSET)


def _minted(
    settings: Settings,
    key: Key,
    at: Head,
    subject: str,
    client: Client,
    audience: str,
    roles: frozenset[str],
    scopes: frozenset[str],
    session: str | None,
    claims: dict[str, Any],
    refresh_token: str | UnsetType,
) -> Tokens:
    lifetime = min(client.lifetime or settings.access_lifetime, settings.max_lifetime, at.lifetime)
    token = _issuer(settings.issuer, key, tuple(settings.claims)).mint(
        subject=subject,
        audience=audience,
        client=client.id,
        roles=roles,
        scope=scopes,
        session=session,
        position=at.position,
        claims=claims,
        lifetime=timedelta(seconds=lifetime),
        issued_at=at.now,
    )
    scope = " ".join(sorted(scopes))
    return Tokens(token, lifetime, refresh_token=refresh_token, scope=scope or UNSET)


@lru_cache(1)  # and so no key that was withdrawn is kept for longer than until the next one signs
def _issuer(name: str, key: Key, claims: tuple[str, ...]) -> Issuer:
    return Issuer(name, key, claims=claims)
