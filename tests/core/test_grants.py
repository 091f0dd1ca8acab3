"""What roles come to under a service's tables."""

import pytest

from watchword.core import grants as module
from watchword.core.claims import AccessClaims
from watchword.core.grants import Grants

GRANTS = {"editor": ["orders:write"], "reader": ["orders:read"]}


def claims(*roles: str, scope: str = "a b") -> AccessClaims:
    """Claims with these roles and scopes."""
    return AccessClaims(iss="i", sub="s", aud="a", iat=1, exp=2, roles=list(roles), scope=scope)


def test_of() -> None:
    """The token's own roles, those that they include, what all of them grant, and the scopes."""
    grant = Grants(GRANTS, {"editor": ["reader"]}).of(claims("editor", "stranger"))
    assert grant.named == {"editor", "stranger"}
    assert grant.roles == {"editor", "reader", "stranger"}
    assert grant.permissions == {"orders:write", "orders:read"}
    assert grant.scopes == {"a", "b"}


def test_tokens_alike_share_one() -> None:
    """The same roles and scope are worked out once; another role, order or scope is another thing."""
    grants = Grants(GRANTS, {})
    assert grants.of(claims("editor", "reader")) is grants.of(claims("editor", "reader"))
    assert grants.of(claims("editor", scope="a")).scopes == {"a"}
    assert grants.of(claims("editor", scope="editor")).named == {"editor"}
    assert grants.of(claims("a", scope="editor")).named == {"a"}


def test_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many combinations come, few are kept, and each answer is right."""
    monkeypatch.setattr(module, "_LIMIT", 4)
    grants = Grants(GRANTS, {})
    for number in range(20):
        assert grants.of(claims("editor", f"r{number}")).named == {"editor", f"r{number}"}
        assert grants.of(claims("editor")).permissions == {"orders:write"}
        assert len(grants._granted) <= 4


def test_no_scope_is_not_an_empty_one() -> None:
    """A token without a scope has none."""
    bare = AccessClaims(iss="i", sub="s", aud="a", iat=1, exp=2)
    assert Grants({}, {}).of(bare).scopes == frozenset()
