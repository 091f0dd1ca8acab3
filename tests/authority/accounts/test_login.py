"""Sign-in and the change of a password."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from httpx2 import AsyncClient, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.authority.helpers import (
    ISSUER,
    PASSWORD,
    Headers,
    account,
    bearer,
    code,
    good,
    make_client,
    make_user,
    refresh,
    sign_in,
)

from watchword.authority.accounts.passwords import PasswordHasher
from watchword.authority.accounts.throttle import ACCOUNT
from watchword.authority.authority import Authority
from watchword.authority.database import Database
from watchword.authority.schema import audit, throttle
from watchword.core.compact import read_unverified

pytestmark = pytest.mark.both_databases

NEW = "a new password, and a long one"
LOGIN = {"username": "ada", "password": PASSWORD, "client_id": "watchword"}


@pytest.fixture
async def ada(http: AsyncClient, operator: Headers) -> dict[str, Any]:
    """Ada, an editor."""
    return await make_user(http, operator, "ada", roles=["editor"], display_name="Ada Lovelace")


class Gate:
    """Holds every look at a password until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        verify = PasswordHasher.verify

        async def held(hasher: PasswordHasher, hashed: str | None, password: str) -> bool:
            right = await verify(hasher, hashed, password)
            self.reached.set()
            await self.open.wait()
            return right

        monkeypatch.setattr(PasswordHasher, "verify", held)


async def test_a_token_says_what_is_declared_and_nothing_else(http: AsyncClient, ada: dict[str, Any]) -> None:
    """Nothing of the user's row gets into a token by itself: no name, no hash."""
    header, payload = read_unverified((await sign_in(http))["access_token"])
    assert payload.keys() == {"iss", "sub", "aud", "client_id", "iat", "exp", "jti", "roles", "sid", "wwd_pos"}
    assert (payload["sub"], payload["aud"], payload["roles"]) == (ada["id"], ISSUER, ["editor"])
    assert header.keys() == {"alg", "kid", "typ"}


async def test_declared_claims_of_a_user_travel_and_others_do_not(http: AsyncClient, operator: Headers) -> None:
    """An operator's own claim is listed by name; what is not listed cannot even be stored."""
    body = {"username": "eve", "password": PASSWORD, "claims": {"tenant": "acme"}}
    assert code(await http.post("/admin/users", json=body, headers=operator)) == "invalid_field"


@pytest.mark.parametrize(
    "attempt",
    [
        {"username": "nobody"},
        {"password": "wrong"},
        {"username": "ADA"},
        {"username": "ada\u200b"},
        {"password": PASSWORD + " "},
        {"password": "\U0001f600" * 100},
    ],
)
async def test_every_failed_sign_in_looks_the_same(http: AsyncClient, ada: object, attempt: dict[str, str]) -> None:
    """An unknown user, a wrong password and odd characters get one answer, without a word that tells them apart."""
    response = await http.post("/login", json={**LOGIN, **attempt})
    answer = response.json()
    assert (response.status_code, answer["code"], answer.keys()) == (
        401,
        "sign_in_failed",
        {"type", "title", "status", "code"},
    )


async def test_a_disabled_user_is_answered_like_a_stranger(http: AsyncClient, operator: Headers, ada: Any) -> None:
    """Nobody learns from a sign-in that an account was disabled."""
    good(await http.post(f"/admin/users/{ada['id']}/disable", headers=operator))
    assert code(await http.post("/login", json=LOGIN)) == "sign_in_failed"


async def test_unknown_users_cost_a_look_at_a_password_too(
    http: AsyncClient, ada: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same work is done for an unknown name, so that the time tells nothing."""
    looked: list[str | None] = []
    verify = PasswordHasher.verify

    async def counted(hasher: PasswordHasher, hashed: str | None, password: str) -> bool:
        looked.append(hashed)
        return await verify(hasher, hashed, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    await http.post("/login", json={**LOGIN, "username": "nobody"})
    await http.post("/login", json={**LOGIN, "password": "wrong"})
    assert len(looked) == 2
    assert looked[0] is None


async def test_a_one_time_password_must_be_changed(http: AsyncClient, operator: Headers) -> None:
    """The right one-time password gets no token until the request brings a new one; then the old one is dead."""
    made = good(await http.post("/admin/users", json={"username": "eve"}, headers=operator))
    login = {"username": "eve", "password": made["one_time_password"], "client_id": "watchword"}
    assert code(await http.post("/login", json=login)) == "password_change_required"
    assert code(await http.post("/login", json={**login, "password": "wrong"})) == "sign_in_failed"
    assert code(await http.post("/login", json={**login, "new_password": "short"})) == "invalid_field"
    tokens = good(await http.post("/login", json={**login, "new_password": NEW}))
    assert await account(http, tokens) == "ok"
    assert code(await http.post("/login", json={**login, "new_password": NEW})) == "sign_in_failed"
    assert await account(http, await sign_in(http, "eve", password=NEW)) == "ok"


async def test_a_changed_password_ends_what_came_before_and_nothing_after(http: AsyncClient, ada: Any) -> None:
    """Two devices, a change, a sign-in, all within a second: old tokens are dead, the new ones live."""
    here, there = await sign_in(http), await sign_in(http)
    body = {"password": PASSWORD, "new_password": NEW}
    changed = good(await http.post("/account/password", json=body, headers=bearer(here)))
    assert [await account(http, tokens) for tokens in (here, there)] == ["credentials_changed"] * 2
    assert await account(http, changed) == "ok"
    assert await account(http, await sign_in(http, password=NEW)) == "ok"
    assert code(await refresh(http, there["refresh_token"])) == "invalid_grant"
    assert code(await refresh(http, changed["refresh_token"])) == "ok"


async def test_a_wrong_password_changes_nothing(http: AsyncClient, ada: Any) -> None:
    """The bearer of a stolen token cannot set a new password."""
    tokens = await sign_in(http)
    body = {"password": "wrong", "new_password": NEW}
    assert code(await http.post("/account/password", json=body, headers=bearer(tokens))) == "sign_in_failed"
    assert await account(http, tokens) == "ok"


async def test_a_sign_in_that_overlaps_a_change_gets_nothing(
    http: AsyncClient, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old password was right when it was looked at; by the time of the answer it has been changed."""
    tokens = await sign_in(http)
    gate = Gate(monkeypatch)
    slow = asyncio.create_task(http.post("/login", json=LOGIN))
    await gate.reached.wait()
    monkeypatch.undo()
    body = {"password": PASSWORD, "new_password": NEW}
    good(await http.post("/account/password", json=body, headers=bearer(tokens)))
    gate.open.set()
    assert code(await slow) == "sign_in_failed"


@pytest.mark.parametrize("verb", ["disable", "sign-out", "reset-password"])
async def test_a_sign_in_that_overlaps_a_revocation_gets_nothing(
    http: AsyncClient, operator: Headers, ada: Any, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Whatever cuts the user off while the password is being looked at stands above that sign-in."""
    gate = Gate(monkeypatch)
    slow = asyncio.create_task(http.post("/login", json=LOGIN))
    await gate.reached.wait()
    good(await http.post(f"/admin/users/{ada['id']}/{verb}", json={}, headers=operator))
    gate.open.set()
    assert code(await slow) == "sign_in_failed"


async def test_a_deleted_and_recreated_user_is_another(
    http: AsyncClient, operator: Headers, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sign-in that began as the old user does not end as the new one."""
    gate = Gate(monkeypatch)
    slow = asyncio.create_task(http.post("/login", json=LOGIN))
    await gate.reached.wait()
    good(await http.delete(f"/admin/users/{ada['id']}", headers=operator))
    await make_user(http, operator, "ada")
    gate.open.set()
    assert code(await slow) == "sign_in_failed"


async def test_too_many_failures_must_wait_even_with_the_right_password(http: AsyncClient, ada: Any) -> None:
    """The answer is 429 with the seconds to wait, and says nothing about the password."""
    for _ in range(ACCOUNT.free):
        await http.post("/login", json={**LOGIN, "password": "wrong"})
    response = await http.post("/login", json=LOGIN)
    assert (response.status_code, code(response), response.headers["retry-after"]) == (429, "throttled", "1")


async def test_guesses_sent_at_once_are_counted_one_by_one(http: AsyncClient, ada: Any) -> None:
    """Parallel guesses are not free: they are charged before anybody looks."""
    guesses = [http.post("/login", json={**LOGIN, "password": f"guess {n}"}) for n in range(ACCOUNT.free + 5)]
    codes = [code(response) for response in await asyncio.gather(*guesses)]
    assert codes.count("throttled") == 5


async def test_a_busy_machine_charges_nobody(
    http: AsyncClient, authority: Authority, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The excess gets 429 with a time, and its attempt back."""
    monkeypatch.setattr(authority.hasher, "_places", 0)
    response = await http.post("/login", json=LOGIN)
    assert (response.status_code, code(response), response.headers["retry-after"]) == (429, "busy", "1")
    async with authority.database.reading() as connection:
        failures = (await connection.execute(select(throttle.c.failures))).scalars().all()
    assert set(failures) == {0}


async def test_the_client_decides_where_one_may_sign_in(http: AsyncClient, operator: Headers, ada: Any) -> None:
    """One audience of the client's list; a client with several must be told which."""
    two = await make_client(http, operator, "web", audiences=["orders", "billing"])
    assert code(await http.post("/login", json={**LOGIN, "client_id": "web"})) == "invalid_client"
    with_secret = {**LOGIN, "client_id": two[0], "client_secret": two[1]}
    assert code(await http.post("/login", json=with_secret)) == "invalid_target"
    assert code(await http.post("/login", json={**with_secret, "audience": ISSUER})) == "invalid_target"
    tokens = good(await http.post("/login", json={**with_secret, "audience": "orders"}))
    assert read_unverified(tokens["access_token"])[1]["aud"] == "orders"
    feed_only = await make_client(http, operator, "guard", grants=["feed"])
    body = {**LOGIN, "client_id": feed_only[0], "client_secret": feed_only[1]}
    assert code(await http.post("/login", json=body)) == "unauthorized_client"


async def test_no_secret_reaches_the_logs_or_the_audit_log(
    http: AsyncClient, authority: Authority, ada: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Passwords and tokens of good and failed sign-ins are nowhere to be read afterwards."""
    caplog.set_level(logging.DEBUG, "watchword")
    tokens = await sign_in(http)
    await http.post("/login", json={**LOGIN, "password": "a wrong password"})
    await http.post("/login", json={**LOGIN, "username": PASSWORD})
    async with authority.database.reading() as connection:
        rows = str((await connection.execute(select(audit))).all())
    for secret in (PASSWORD, "a wrong password", tokens["access_token"], tokens["refresh_token"]):
        assert secret not in caplog.text
        assert secret not in rows


async def test_a_one_time_password_cannot_be_kept(http: AsyncClient, operator: Headers) -> None:
    """To change it to itself is no change."""
    made = good(await http.post("/admin/users", json={"username": "eve"}, headers=operator))
    once = made["one_time_password"]
    login = {"username": "eve", "password": once, "new_password": once, "client_id": "watchword"}
    assert code(await http.post("/login", json=login)) == "invalid_field"


@asynccontextmanager
async def slow_sign_in(
    http: AsyncClient, client: tuple[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncio.Task[Response]]:
    """Ada's sign-in through this client, which has read what it needs and hashes until the end of the block."""
    gate = Gate(monkeypatch)
    login = LOGIN | {"client_id": client[0], "client_secret": client[1]}
    slow = asyncio.create_task(http.post("/login", json=login))
    await gate.reached.wait()
    yield slow
    gate.open.set()


async def test_a_client_that_is_cut_off_meanwhile_signs_nobody_in(
    http: AsyncClient, operator: Headers, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its secret was right when the sign-in began; what it was proven with is older than the cutoff."""
    client = await make_client(http, operator)
    async with slow_sign_in(http, client, monkeypatch) as slow:
        good(await http.post(f"/admin/clients/{client[0]}/secret", headers=operator))
    assert code(await slow) == "sign_in_failed"


async def test_a_client_that_was_made_anew_meanwhile_inherits_no_sign_in(
    http: AsyncClient, operator: Headers, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of the same id is another client."""
    client = await make_client(http, operator)
    async with slow_sign_in(http, client, monkeypatch) as slow:
        good(await http.delete(f"/admin/clients/{client[0]}", headers=operator))
        await make_client(http, operator)
    assert code(await slow) == "sign_in_failed"


async def test_the_client_is_proven_in_the_snapshot_of_the_position(
    http: AsyncClient, operator: Headers, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing fits between the proof of the client and the position that the sign-in gets: one transaction."""
    seen, mine = list[str](), asyncio.current_task()

    def told(name: str) -> Callable[[Database], AbstractAsyncContextManager[AsyncConnection]]:
        begun = getattr(Database, name)

        def begin(database: Database) -> AbstractAsyncContextManager[AsyncConnection]:
            if asyncio.current_task() is mine:  # the authority's own followers read beside us
                seen.append(name)
            transaction: AbstractAsyncContextManager[AsyncConnection] = begun(database)
            return transaction

        return begin

    for name in ("writing", "reading"):
        monkeypatch.setattr(Database, name, told(name))
    good(await http.post("/login", json=LOGIN))
    assert seen == ["reading", "writing", "writing"]
