"""Under which name an authority serves, and what follows a change of it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from httpx2 import ASGITransport, AsyncClient
from tests.authority.helpers import bearer, good, make_client, make_user, refresh, sign_in

from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.operator import operator_token
from watchword.authority.settings import Settings, SettingsError
from watchword.core.compact import read_unverified

pytestmark = pytest.mark.both_databases


async def _served(settings: Settings, *, may_rename: bool = False, **change: Any) -> str:
    authority = await Authority.open(msgspec.structs.replace(settings, **change), may_rename=may_rename)
    await authority.close()
    return authority.settings.issuer


async def test_an_open_name_is_the_one_that_the_database_has(settings: Settings) -> None:
    """A command on the machine that was told no issuer acts under the one that the server was told."""
    assert await _served(settings, issuer="", port=8123) == "http://127.0.0.1:8123"
    assert await _served(settings, issuer="https://auth.example", may_rename=True) == "https://auth.example"
    assert await _served(settings, issuer="", port=8123) == "https://auth.example"


async def test_only_serving_changes_the_name(settings: Settings) -> None:
    """A command that was told another issuer is refused, and the running authority keeps its name."""
    await _served(settings)
    with pytest.raises(SettingsError, match="only `watchword serve`"):
        await _served(settings, issuer="https://auth.example")
    assert await _served(settings, issuer="") == settings.issuer


async def test_who_named_the_old_issuer_follows_to_the_new_one(settings: Settings, tmp_path: Path) -> None:
    """Clients and sessions of the authority's own API go on after a refresh; tokens under the old name are dead."""
    first = await Authority.open(settings)
    async with AsyncClient(transport=ASGITransport(build_app(first)), base_url=settings.issuer) as http:
        operator = bearer(await operator_token(first))
        await make_user(http, operator, "ada")
        client = await make_client(http, operator, "web", audiences=[settings.issuer, "orders"])
        tokens = await sign_in(http, client=client, audience=settings.issuer)
    await first.close()
    renamed = msgspec.structs.replace(settings, issuer="https://auth.example")
    moved = await Authority.open(renamed, may_rename=True)
    async with AsyncClient(transport=ASGITransport(build_app(moved)), base_url="https://auth.example") as http:
        assert (await http.get("/account", headers=bearer(tokens))).json()["code"] == "wrong_issuer"
        renewed = good(await refresh(http, tokens["refresh_token"], client))
        assert read_unverified(renewed["access_token"])[1]["aud"] == "https://auth.example"
        good(await http.get("/account", headers=bearer(renewed)))
        names = good(await http.get("/admin/audiences", headers=bearer(await operator_token(moved))))["items"]
    await moved.close()
    assert {item["name"] for item in names} == {"https://auth.example", "orders"}
