"""Two who change the same rows on two replicas: one waits for the other, and never both."""

import asyncio

import pytest
from tests.authority.helpers import ISSUER, PASSWORD, bearer, make_client, make_user, sign_in
from tests.replicas.world import Gate, Replica, waits_or_is_done

from watchword.authority.accounts import login, throttle

NEW = "a new password, and a long one"


async def test_a_reset_during_a_change_of_the_password(
    replicas: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both touch the account's failures and its row, in the same order; the change had begun, so it is done first."""
    one, two, three = replicas
    operator = await one.operator()
    ada = await make_user(one.http, operator)
    tokens = await sign_in(one.http)
    gate = Gate(monkeypatch, throttle, "refund")
    body = {"password": PASSWORD, "new_password": NEW}
    changing = asyncio.create_task(one.http.post("/account/password", json=body, headers=bearer(tokens)))
    await gate.reached.wait()
    reset = two.http.post(f"/admin/users/{ada['id']}/reset-password", json={"password": PASSWORD}, headers=operator)
    resetting = asyncio.create_task(reset)
    await waits_or_is_done(three, resetting)
    gate.open.set()
    assert [each.status_code for each in await asyncio.gather(changing, resetting)] == [200, 200]


async def test_a_deletion_of_the_client_during_a_change_of_the_password(
    replicas: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new session belongs to the client, which is there until the change is done; then both are gone."""
    one, two, three = replicas
    operator = await one.operator()
    await make_user(one.http, operator)
    client = await make_client(one.http, operator, "web", audiences=[ISSUER], public=True)
    tokens = await sign_in(one.http, client=client)
    gate = Gate(monkeypatch, login, "cut_user")
    body = {"password": PASSWORD, "new_password": NEW}
    changing = asyncio.create_task(one.http.post("/account/password", json=body, headers=bearer(tokens)))
    await gate.reached.wait()
    deleting = asyncio.create_task(two.http.delete("/admin/clients/web", headers=operator))
    await waits_or_is_done(three, deleting)
    gate.open.set()
    assert [each.status_code for each in await asyncio.gather(changing, deleting)] == [200, 200]
    assert (await two.http.get("/admin/sessions?client=web", headers=operator)).json()["items"] == []


@pytest.mark.parametrize("what", ["user", "client"])
async def test_a_deletion_during_a_sign_in(replicas: list[Replica], monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Whoever was there when the sign-in looked again is there until it is done: no session of nobody is tried."""
    one, two, three = replicas
    operator = await one.operator()
    ada = await make_user(one.http, operator)
    client, _ = await make_client(one.http, operator, "web", audiences=[ISSUER], public=True)
    gate = Gate(monkeypatch, login, "_still")
    body = {"username": "ada", "password": PASSWORD, "client_id": client}
    signing_in = asyncio.create_task(one.http.post("/login", json=body))
    await gate.reached.wait()
    path = f"users/{ada['id']}" if what == "user" else f"clients/{client}"
    deleting = asyncio.create_task(two.http.delete(f"/admin/{path}", headers=operator))
    await waits_or_is_done(three, deleting)
    gate.open.set()
    assert [each.status_code for each in await asyncio.gather(signing_in, deleting)] == [200, 200]
    assert (await two.http.get("/admin/sessions?client=web", headers=operator)).json()["items"] == []
