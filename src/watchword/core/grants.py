"""What roles grant in this service: the roles that they include, and permissions."""

from collections.abc import Iterable, Mapping
from typing import Final, final

from msgspec import UnsetType

from watchword.core.caller import Grant
from watchword.core.claims import AccessClaims

_LIMIT: Final = 1024  # combinations of roles and scope that are kept


@final
class Grants:
    """A service's own two tables: role to permissions, and role to the roles that it includes.

    ``ValueError`` for a role that includes itself by any way round, and for a text where a list of texts belongs.
    """

    __slots__ = ("_granted", "_included", "_permissions")

    def __init__(self, permissions: Mapping[str, Iterable[str]], inherits: Mapping[str, Iterable[str]]) -> None:
        self._permissions = {
            role: _names(granted, f"the permissions of {role}") for role, granted in permissions.items()
        }
        included = {role: _names(roles, f"the roles that {role} includes") for role, roles in inherits.items()}
        self._included = {role: _closure(role, included, ()) for role in included}
        self._granted: dict[tuple[str | UnsetType, ...], Grant] = {}

    def of(self, claims: AccessClaims) -> Grant:
        """What a verified token comes to here; worked out once for all tokens of the same roles and scope."""
        key = (claims.scope, *claims.roles)
        grant = self._granted.get(key)
        if grant is None:
            if len(self._granted) >= _LIMIT:
                self._granted.clear()
            roles = self.roles(claims.roles)
            grant = Grant(frozenset(claims.roles), roles, self.permissions(roles), claims.scopes)
            self._granted[key] = grant
        return grant

    def roles(self, roles: Iterable[str]) -> frozenset[str]:
        """These roles and all that they include."""
        return frozenset().union(*(self._included.get(role, (role,)) for role in roles))

    def permissions(self, roles: Iterable[str]) -> frozenset[str]:
        """All that these roles grant, patterns as they were written."""
        return frozenset().union(*(self._permissions.get(role, ()) for role in roles))


def _closure(role: str, included: Mapping[str, frozenset[str]], above: tuple[str, ...]) -> frozenset[str]:
    if role in above:
        raise ValueError(f"a role includes itself: {' > '.join((*above, role))}")
    below = (_closure(other, included, (*above, role)) for other in included.get(role, ()))
    return frozenset({role}).union(*below)


def _names(names: Iterable[str], what: str) -> frozenset[str]:
    if isinstance(names, str):
        raise ValueError(f"{what}: a list of texts is needed, not one text")
    checked = frozenset(names)
    if "" in checked:
        raise ValueError(f"{what}: the empty text names nothing")
    return checked
