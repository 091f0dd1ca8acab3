"""Rotation of the wrapping secret: at whatever point it is cut off, the database opens and it can be run again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import select
from tests.authority.helpers import ISSUER, Headers, account, bearer, good, make_user, refresh, sign_in

from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.keys import secret_rotation
from watchword.authority.keys.keyring import Keyring
from watchword.authority.keys.secret_rotation import rotate_secret
from watchword.authority.keys.vault import Vault, new_secret, read_secrets, write_secrets
from watchword.authority.operator import operator_token
from watchword.authority.schema import keys, secrets
from watchword.authority.settings import Settings, SettingsError
from watchword.errors import Unavailable


class _PowerCut(BaseException):
    """Nothing that the code under test would catch."""


async def _wrapped(authority: Authority) -> list[bytes]:
    async with authority.database.reading() as connection:
        signing = (await connection.execute(select(keys.c.wrapped).where(keys.c.wrapped.is_not(None)))).scalars().all()
        return [*signing, *(await connection.execute(select(secrets.c.wrapped))).scalars()]


async def _works(settings: Settings, tokens: dict[str, Any]) -> None:
    """A process that starts now honours what was issued before, and signs."""
    authority = await Authority.open(settings)
    try:
        async with AsyncClient(transport=ASGITransport(build_app(authority)), base_url=ISSUER) as http:
            assert await account(http, tokens) == "ok"
            assert await account(http, good(await refresh(http, tokens["refresh_token"]))) == "ok"
            assert await account(http, await sign_in(http)) == "ok"
    finally:
        await authority.close()


async def test_everything_is_wrapped_anew(
    authority: Authority, http: AsyncClient, operator: Headers, settings: Settings
) -> None:
    """The file holds one other secret, all stands under it, and nothing that was issued is lost."""
    await make_user(http, operator)
    tokens, (old,) = await sign_in(http), read_secrets(settings)
    count = await rotate_secret(authority)
    (new,) = read_secrets(settings)
    wrapped = await _wrapped(authority)
    assert count == len(wrapped) == 4
    assert all(Vault(new).fits(each) and not Vault(old).opens(each) for each in wrapped)
    assert settings.secret_path.stat().st_mode & 0o777 == 0o600
    await _works(settings, tokens)
    line = good(await http.get("/admin/audit?action=rotate_secret", headers=operator))["items"][0]
    assert (line["actor"], new in str(line), old in str(line)) == ("operator", False, False)


@pytest.mark.parametrize("step", ["before the file", "after the file", "while wrapping", "after commit"])
async def test_cut_off_at_any_step_it_can_be_run_again(
    authority: Authority,
    http: AsyncClient,
    operator: Headers,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """A process that starts after the cut opens the database, and a second rotation ends with one secret."""
    await make_user(http, operator)
    tokens = await sign_in(http)
    written = 0

    def cut_write(path: Path, texts: Sequence[str]) -> None:
        nonlocal written
        written += 1
        if step == "before the file" or (step == "after commit" and written == 2):
            raise _PowerCut
        write_secrets(path, list(texts))
        if step == "after the file":
            raise _PowerCut

    async def cut_wrapping(*_: object) -> int:
        raise _PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(secret_rotation, "write_secrets", cut_write)
        if step == "while wrapping":
            patch.setattr(Keyring, "rewrap", cut_wrapping)
        with pytest.raises(_PowerCut):
            await rotate_secret(authority)
    assert len(read_secrets(settings)) == (1 if step == "before the file" else 2)
    await _works(settings, tokens)
    await rotate_secret(authority)
    (last,) = read_secrets(settings)
    assert all(map(Vault(last).fits, await _wrapped(authority)))
    await _works(settings, await sign_in(http))


async def test_a_server_that_runs_meanwhile_wraps_under_the_new_one(
    authority: Authority, http: AsyncClient, operator: Headers, settings: Settings
) -> None:
    """A key that it makes after the rotation can be opened by the next process."""
    elsewhere = await Authority.open(settings)
    try:
        await rotate_secret(elsewhere)
    finally:
        await elsewhere.close()
    good(await http.post("/admin/keys/withdraw-all", headers=operator))
    await make_user(http, bearer(await operator_token(authority)))
    (new,) = read_secrets(settings)
    assert all(map(Vault(new).fits, await _wrapped(authority)))
    await _works(settings, await sign_in(http))


async def test_two_rotations_end_with_one_secret(authority: Authority, settings: Settings) -> None:
    """One after the other leaves no trace of the first."""
    await rotate_secret(authority)
    (first,) = read_secrets(settings)
    await rotate_secret(authority)
    (second,) = read_secrets(settings)
    assert first != second
    assert all(map(Vault(second).fits, await _wrapped(authority)))


async def test_in_the_environment_the_operator_brings_both(tmp_path: Path, settings: Settings) -> None:
    """From previous_secret to secret; without the former there is nothing to do, and the file is not touched."""
    old, new = new_secret(), new_secret()
    before = msgspec.structs.replace(settings, secret=old)
    authority = await Authority.open(before)
    await operator_token(authority)
    with pytest.raises(SettingsError, match="previous_secret"):
        await rotate_secret(authority)
    after = await Authority.open(msgspec.structs.replace(settings, secret=new, previous_secret=old))
    try:
        assert await rotate_secret(after) == 4
        assert all(map(Vault(new).fits, await _wrapped(after)))
        assert not settings.secret_path.exists()
        # The server that still has the old one goes on with the key in its memory, and must make no new ones.
        await operator_token(authority)
        with pytest.raises(Unavailable, match="another secret"):
            async with authority.database.writing() as connection:
                await authority.keyring.add(connection, await authority.keyring.generate(), "retiring", 0.0)
    finally:
        await authority.close()
        await after.close()
    with pytest.raises(SettingsError):
        await Authority.open(before)
