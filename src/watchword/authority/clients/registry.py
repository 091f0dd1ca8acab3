"""Clients as the database holds them: who they are, what they may do, and which audiences they may name."""

import hashlib
import hmac
import secrets
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import Column, Label, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.engines.inline import Row
from watchword.authority.engines.prepared import Prepared, labelled, slot
from watchword.authority.log.head import standing
from watchword.authority.schema import client_audiences, client_roles, clients
from watchword.core.cutoffs import Cutoff, Scope
from watchword.errors import InvalidClient, InvalidScope, InvalidTarget, NotFound, UnauthorizedClient


class Grant(StrEnum):
    """What a client may be allowed to do at the authority."""

    LOGIN = "login"
    """Sign users in and refresh their tokens."""
    CLIENT_CREDENTIALS = "client_credentials"
    """Get tokens for itself."""
    DATA = "data"
    """Have its data signed for another service."""
    FEED = "feed"
    """Follow the revocations and keys: what a guard does."""


class Client(msgspec.Struct, frozen=True):
    """A client's row, with its audiences and roles. ``lifetime`` is of its access tokens, in seconds."""

    id: str
    name: str
    secret_hash: str | None
    grants: frozenset[str]
    scopes: frozenset[str]
    lifetime: int | None
    disabled: bool
    cutoff: int
    audiences: frozenset[str]
    roles: frozenset[str]
    created_at: float

    @property
    def cut(self) -> Cutoff | None:
        """The cutoff that stands on this client for ever."""
        return standing(self.cutoff, Scope.CLIENT, self.id, "client_revoked")

    @property
    def public(self) -> bool:
        """Whether the client has no secret: an app in its users' hands, which could keep none."""
        return self.secret_hash is None

    def check_grant(self, grant: Grant) -> None:
        """`UnauthorizedClient` unless the client may do this."""
        if grant not in self.grants:
            raise UnauthorizedClient(f"{self.id} lacks the grant {grant}")

    def audience(self, asked: str | None, otherwise: str | None = None) -> str:
        """The one audience of a new token: the one asked for, or the one that there is; `InvalidTarget` if unclear."""
        if asked is None:
            asked = otherwise if otherwise is not None else next(iter(self.audiences), None)
            if otherwise is None and len(self.audiences) != 1:
                raise InvalidTarget(f"{self.id} has {len(self.audiences)} audiences and named none")
        if asked not in self.audiences:
            raise InvalidTarget(f"the audience is not one of {self.id}'s")
        return asked

    def scope(self, asked: str | None, within: frozenset[str] | None = None) -> frozenset[str]:
        """The scopes of a new token: those asked for, or all; `InvalidScope` for more than is allowed."""
        allowed = self.scopes if within is None else self.scopes & within
        if asked is None:
            return allowed
        wanted = frozenset(asked.split())
        if not wanted <= allowed:
            raise InvalidScope("more than the client or the session was allowed")
        return wanted


def _listed(value: Column[str], owner: Column[str]) -> Label[Any]:
    """What belongs to a client in another table, as one text with spaces: no name of ours holds one."""
    return (
        select(func.aggregate_strings(value, " "))
        .where(owner == clients.c.id)
        .correlate(clients)
        .scalar_subquery()
        .label(f"client_{value.name}s")
    )


CLIENT: Final = (
    *labelled("client", clients),
    _listed(client_audiences.c.audience, client_audiences.c.client),
    _listed(client_roles.c.role, client_roles.c.client),
)
"""The columns that `client_of` makes a `Client` of."""
_READ: Final = Prepared(select(*CLIENT).where(clients.c.id == slot("client")))


async def read_client(connection: AsyncConnection, identifier: str) -> Client | None:
    """The client of that id, in the connection's snapshot."""
    row = await _READ.row(connection, client=identifier)
    return client_of(row) if row else None


def client_of(row: Row) -> Client | None:
    """The client from a row with its columns; None if there is none in it."""
    if row["client_id"] is None:
        return None
    return Client(
        row["client_id"],
        row["client_name"],
        row["client_secret_hash"],
        frozenset(row["client_grants"].split()),
        frozenset(row["client_scope"].split()),
        row["client_lifetime"],
        bool(row["client_disabled"]),
        row["client_cutoff"],
        frozenset((row["client_audiences"] or "").split()),
        frozenset((row["client_roles"] or "").split()),
        row["client_created_at"],
    )


async def known_client(connection: AsyncConnection, identifier: str) -> Client:
    """The client of that id; `NotFound` if there is none."""
    client = await read_client(connection, identifier)
    if client is None:
        raise NotFound("no client of that id")
    return client


async def prove_client(connection: AsyncConnection, credentials: tuple[str, str | None]) -> Client:
    """The client that these credentials prove; `InvalidClient` for one that is unknown, disabled or unproven.

    A public client (one without a secret) only names itself, and must not send a secret.
    """
    identifier, secret = credentials
    return proven(await read_client(connection, identifier), secret)


def proven(client: Client | None, secret: str | None) -> Client:
    """The client, if the secret is its own; `InvalidClient` otherwise, in the same time for one that is not there."""
    proof = hash_secret(secret) if secret is not None else ""
    expected = client.secret_hash or "" if client else hash_secret("")
    if not hmac.compare_digest(proof, expected) or client is None or client.disabled:
        raise InvalidClient("unknown, disabled, or the secret does not fit")
    return client


def new_client_secret() -> str:
    """A fresh secret: 256 random bits, so that a plain hash of it is as good as a slow one."""
    return "wws_" + secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """What is kept of a client's secret or a refresh token."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
