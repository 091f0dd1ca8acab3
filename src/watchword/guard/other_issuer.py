"""Another issuer whose tokens a service takes: how its tokens look, what its names mean here, where its keys are."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, final

from watchword.core.claims import ACCESS_TYPE
from watchword.core.foreign_claims import ForeignGrants, Path, Places
from watchword.core.grants import Grants
from watchword.core.keys import PublicKey
from watchword.core.keyset import KeySet
from watchword.core.verifier import Verifier
from watchword.transport import locate

Where = str | tuple[str, ...]
"""Where a value stands in a payload: a dotted path, or a tuple of names where a name itself holds dots."""

MIN_REFRESH: Final = timedelta(seconds=15)
Table = Mapping[str, Iterable[str]]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class OtherIssuer:
    """An issuer beside, or in place of, the service's own authority: OpenID Connect's, or by RFC 8414.

    ``issuer`` is its name, exactly as its tokens and its metadata have it, and ``audience`` this service's name there,
    or several of which one is enough. ``types`` are the kinds of token (``typ``) that are taken. ``JWT`` must be asked
    for by name, as ID tokens carry it too; the empty text stands for no ``typ`` at all.

    What its names mean here is said by tables: ``roles`` takes a role of theirs to roles of this service, ``scopes``
    and ``permissions`` alike; a name that is in no table means nothing. ``unsafely_keep_names`` takes the other roles
    and scopes as they are: then whoever can name a role there names one here. ``roles_at``, ``scopes_at``,
    ``permissions_at`` and ``client_at`` say where they stand in the payload: ``realm_access.roles`` is a path, the
    tuple ``("https://example.com/roles",)`` one name that holds dots, and a list means all places in it.

    ``excused`` names claims (``client_id``, ``jti``) that it leaves out. ``algorithms``, ``leeway`` and
    ``max_lifetime`` are the verifier's.

    Its keys come from its metadata, from the JWK Set at the URL ``jwks``, or are fixed by ``keys``. They are fetched
    each ``refresh``, at least every 15 seconds, and work for ``keep`` after the last time that this succeeded. Plain
    http beyond this machine is refused unless ``unsafely_allow_plain_http``. ``ValueError`` for what cannot be meant.
    """

    issuer: str = field(kw_only=False)
    audience: str | Collection[str]
    types: Collection[str] = (ACCESS_TYPE,)
    algorithms: Collection[str] | None = None
    roles: Table | None = None
    roles_at: Where | list[Where] = "roles"
    scopes: Table | None = None
    scopes_at: Where | list[Where] = "scope"
    permissions: Table | None = None
    permissions_at: Where | list[Where] = "permissions"
    unsafely_keep_names: bool = False
    client_at: Where = "client_id"
    excused: Collection[str] = ()
    leeway: timedelta = timedelta(seconds=2)
    max_lifetime: timedelta = timedelta(hours=1)
    jwks: str | None = None
    keys: KeySet | PublicKey | Iterable[PublicKey] | None = None
    refresh: timedelta = timedelta(minutes=5)
    keep: timedelta = timedelta(hours=1)
    unsafely_allow_plain_http: bool = False

    def __post_init__(self) -> None:
        if self.jwks is not None and self.keys is not None:
            raise ValueError("jwks and keys exclude one another")
        if not MIN_REFRESH <= self.refresh <= self.keep:
            raise ValueError(f"refresh is {MIN_REFRESH.seconds} seconds at least, and keep no less than refresh")
        if isinstance(self.types, str) or not self.types or not all(isinstance(kind, str) for kind in self.types):
            raise ValueError("types is a list of kinds of token that is not empty")
        self._set(types=frozenset(kind.lower().removeprefix("application/") for kind in self.types))
        if self.keys is not None and not isinstance(self.keys, KeySet):
            self._set(keys=KeySet([self.keys] if isinstance(self.keys, PublicKey) else self.keys))
        self.verifier(time.time)  # for its checks, as those that follow
        self.places()
        self.grants(Grants({}, {}))
        if self.keys is None:
            locate(self.jwks or self.issuer, plain_http_anywhere=self.unsafely_allow_plain_http)
            if self.jwks is None and "?" in self.issuer:
                raise ValueError("an issuer with a query has no metadata: name its jwks")

    def _set(self, **members: object) -> None:
        for name, value in members.items():
            object.__setattr__(self, name, value)

    def verifier(self, clock: Callable[[], float]) -> Verifier:
        """What verifies its tokens, by keys that are given with each."""
        return Verifier(
            self.issuer,
            self.audience,
            (),
            algorithms=self.algorithms,
            leeway=self.leeway,
            max_lifetime=self.max_lifetime,
            excused=self.excused,
            clock=clock,
        )

    def places(self) -> Places:
        """Where its tokens have what."""
        at = (self.roles_at, self.scopes_at, self.permissions_at)
        return Places(_path(self.client_at), *(tuple(map(_path, _listed(where))) for where in at))

    def key_set(self) -> KeySet:
        """The fixed keys."""
        if not isinstance(self.keys, KeySet):
            raise ValueError("no fixed keys were given")
        return self.keys

    def grants(self, own: Grants) -> ForeignGrants:
        """What its names come to, with the service's own tables."""
        return ForeignGrants(
            own,
            roles=_table(self.roles, "role"),
            scopes=_table(self.scopes, "scope"),
            permissions=_table(self.permissions, "permission"),
            keep=self.unsafely_keep_names,
        )


def _listed(where: Where | list[Where]) -> list[Where]:
    return where if isinstance(where, list) else [where]


def _path(where: object) -> Path:
    if isinstance(where, str) and ("/" in where or ":" in where):
        raise ValueError(f"{where!r} looks like one name that holds dots: write a tuple of it")
    path = tuple(where.split(".")) if isinstance(where, str) else where
    if not isinstance(path, tuple) or not path or not all(isinstance(name, str) and name for name in path):
        raise ValueError("where a claim stands is a dotted path, or a tuple of names")
    return path


def _table(table: Table | None, kind: str) -> dict[str, frozenset[str]]:
    """A table of names there to names here; ``ValueError`` for a text where a list belongs, and for empty names."""
    checked = {}
    for theirs, ours in (table or {}).items():
        if isinstance(ours, str) or not theirs:
            raise ValueError(f"the table of {kind}s takes a {kind} there to a list of {kind}s here")
        checked[theirs] = frozenset(ours)
        if "" in checked[theirs]:
            raise ValueError(f"the {kind} {theirs} there is the empty text here")
    return checked
