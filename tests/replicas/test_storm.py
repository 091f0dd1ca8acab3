"""Everything at once on three replicas: nothing waits for ever, nothing fails, and what must hold holds."""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from typing import Any, Final

import pytest
from httpx2 import Response
from sqlalchemy import func, select
from tests.authority.helpers import ISSUER, OWN_CLIENT, PASSWORD, Headers, bearer, make_client, make_role, make_user
from tests.replicas.world import Replica

from watchword.authority.accounts import throttle
from watchword.authority.database import Database
from watchword.authority.schema import entries, head, user_roles, users
from watchword.errors import Refused

PEOPLE: Final = 8
VISITS: Final = 12
ADMINISTRATORS: Final = 4
CHANGES: Final = 25
NAMES: Final = ("ada", "bob", "eve")
CLIENTS: Final = ("web", "app")
PASSWORDS: Final = (PASSWORD, PASSWORD + "!")
VERBS: Final = ("enable", "enable", "disable", "sign-out", "reset-password")

Json = dict[str, Any]


class Storm:
    """People who come and go, and administrators who change everything, each on any replica at random."""

    def __init__(self, replicas: list[Replica], seed: int) -> None:
        self._replicas = replicas
        self._random = random.Random(seed)
        self._operator: Headers = {}
        self.answers = Counter[tuple[str, int]]()
        """How often what was asked was answered how."""

    async def _ask(self, what: str, method: str, path: str, **more: Any) -> Response:
        response = await self._random.choice(self._replicas).http.request(method, path, **more)
        self.answers[what, response.status_code] += 1
        return response

    # -- People

    async def person(self) -> None:
        """Sign in, and do this and that in the session."""
        for _ in range(VISITS):
            tokens = await self._sign_in()
            for _ in range(self._random.randrange(5) if tokens else 0):
                await self._random.choice((self._refresh, self._refresh, *_IN_A_SESSION))(self, tokens)

    async def _sign_in(self) -> Json:
        """With either password until one is right, and sometimes with another one from now on."""
        client = self._random.choice((*CLIENTS, OWN_CLIENT))
        body = {"username": self._random.choice(NAMES), "client_id": client, "audience": ISSUER}
        for password, other in self._random.sample((PASSWORDS, PASSWORDS[::-1]), 2):
            more = {"password": password} | ({"new_password": other} if self._random.random() < 0.3 else {})
            response = await self._ask("sign in", "POST", "/login", json=body | more)
            if response.status_code == 200:
                return {"client": client, "spent": None, **response.json()}
        return {}

    async def _refresh(self, _: "Storm", tokens: Json) -> None:
        """With the token that is due, or the one before it."""
        given = self._random.choice((tokens["refresh_token"], tokens["spent"] or tokens["refresh_token"]))
        form = {"grant_type": "refresh_token", "refresh_token": given, "client_id": tokens["client"]}
        response = await self._ask("refresh", "POST", "/token", data=form)
        if response.status_code == 200:
            tokens.update(response.json(), spent=given)

    async def give_back(self, tokens: Json) -> None:
        """Revoke either token."""
        given = self._random.choice((tokens["access_token"], tokens["refresh_token"]))
        await self._ask("give back", "POST", "/revoke", data={"token": given, "client_id": tokens["client"]})

    async def change_password(self, tokens: Json) -> None:
        """To the other one."""
        password, other = self._random.sample(PASSWORDS, 2)
        body = {"password": password, "new_password": other}
        response = await self._ask("password", "POST", "/account/password", json=body, headers=bearer(tokens))
        if response.status_code == 200:
            tokens.update(response.json(), spent=None)

    async def leave_others(self, tokens: Json) -> None:
        """End all other sessions of this user."""
        await self._ask("leave others", "DELETE", "/account/sessions", headers=bearer(tokens))

    async def leave(self, tokens: Json) -> None:
        """Sign out, here or everywhere."""
        body = {"everywhere": self._random.random() < 0.3}
        await self._ask("leave", "POST", "/logout", json=body, headers=bearer(tokens))

    # -- Administrators

    async def administrator(self) -> None:
        """Change one thing after the other."""
        for _ in range(CHANGES):
            await self._random.choice(_CHANGES)(self)

    async def _administer(self, what: str, method: str, path: str, body: object = None) -> Json:
        """Ask as the operator, whose token may have been revoked by then."""
        for _ in range(3):
            self._operator = self._operator or await self._random.choice(self._replicas).operator()
            response = await self._ask(what, method, f"/admin{path}", json=body, headers=self._operator)
            if response.status_code != 401:
                break
            self._operator = {}
        answer: Json = response.json()
        return answer

    async def _some_user(self) -> str:
        listed = (await self._administer("users", "GET", "/users")).get("items", [])
        return str(self._random.choice(listed)["id"] if listed else "u_nobody")

    async def add_user(self) -> None:
        """One of a few names, mostly taken."""
        body = {"username": self._random.choice(NAMES), "password": PASSWORD, "roles": ["administrator"]}
        user = (await self._administer("add user", "POST", "/users", body)).get("user")
        assert user is None or user["username"] == body["username"]

    async def delete_user(self) -> None:
        """Anybody."""
        await self._administer("delete user", "DELETE", f"/users/{await self._some_user()}")

    async def change_standing(self) -> None:
        """Disable, enable, sign out or reset anybody."""
        verb = self._random.choice(VERBS)
        body = {"password": PASSWORD} if verb == "reset-password" else None
        await self._administer(verb, "POST", f"/users/{await self._some_user()}/{verb}", body)

    async def change_roles(self) -> None:
        """Make somebody an administrator or not."""
        body = {"roles": self._random.choice((["administrator"], ["editor"], []))}
        await self._administer("roles", "PUT", f"/users/{await self._some_user()}/roles", body)

    async def rename_role(self) -> None:
        """There and back."""
        old, new = self._random.sample(("editor", "author"), 2)
        await self._administer("rename role", "POST", f"/roles/{old}/rename", {"name": new})

    async def add_client(self) -> None:
        """One of a few ids, mostly taken."""
        body = {"id": self._random.choice(CLIENTS), "grants": ["login"], "audiences": [ISSUER], "public": True}
        await self._administer("add client", "POST", "/clients", body)

    async def delete_client(self) -> None:
        """With all its sessions."""
        await self._administer("delete client", "DELETE", f"/clients/{self._random.choice(CLIENTS)}")

    async def change_client(self) -> None:
        """Disable or enable it."""
        verb = self._random.choice(("disable", "enable", "enable"))
        await self._administer(f"{verb} client", "POST", f"/clients/{self._random.choice(CLIENTS)}/{verb}")

    async def revoke(self) -> None:
        """By any scope."""
        scope = self._random.choice(("user", "user", "client", "role", "token", "everyone"))
        named = {"client": self._random.choice(CLIENTS), "role": "editor", "token": "t"}
        named |= {"user": await self._some_user()} if scope == "user" else {}
        body = {"scope": scope} | ({"id": named[scope]} if scope in named else {})
        await self._administer(f"revoke {scope}", "POST", "/revocations", body)

    async def end_session(self) -> None:
        """Any that is listed."""
        listed = (await self._administer("sessions", "GET", "/sessions")).get("items", [])
        if listed:
            await self._administer("end session", "DELETE", f"/sessions/{self._random.choice(listed)['id']}")

    async def withdraw_keys(self) -> None:
        """All of them."""
        await self._administer("withdraw keys", "POST", "/keys/withdraw-all")


_IN_A_SESSION: Final = (Storm.give_back, Storm.change_password, Storm.change_password, Storm.leave_others, Storm.leave)
_CHANGES: Final = (
    *[Storm.add_user] * 4,
    Storm.delete_user,
    *[Storm.change_standing] * 4,
    Storm.change_roles,
    Storm.rename_role,
    *[Storm.add_client] * 4,
    Storm.delete_client,
    *[Storm.change_client] * 2,
    *[Storm.revoke] * 2,
    Storm.end_session,
    Storm.withdraw_keys,
)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told to wait, however many sign-ins fail."""
    for allowance in ("ACCOUNT", "ADDRESS"):
        monkeypatch.setattr(throttle, allowance, throttle.Allowance(10**6, 1.0))


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the database was heard to fail with, in any transaction of any replica."""
    said, refusal = list[str](), Database._refusal

    def told(database: Database, why: Exception) -> Refused:
        said.append(f"{type(why).__name__}: {why}")
        return refusal(database, why)

    monkeypatch.setattr(Database, "_refusal", told)
    return said


async def _watch(replica: Replica, stopping: asyncio.Event) -> list[str]:
    """Look at the log again and again while it moves: what is wrong with it."""
    wrong, last = list[str](), 0
    of_entries = func.min(entries.c.position), func.max(entries.c.position), func.count(entries.c.position)
    query = select(head.c.position, *of_entries).select_from(head.outerjoin(entries, head.c.id == 1))
    while not stopping.is_set():
        async with replica.authority.database.reading() as connection:
            at, first, newest, count = (await connection.execute(query.group_by(head.c.position))).one()
        if count and (first, newest, count) != (1, at, at):
            wrong.append(f"the head is at {at}, and there are {count} entries from {first} to {newest}")
        if at < last:
            wrong.append(f"the head went from {last} back to {at}")
        last = at
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 0.01)
    return wrong


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_storm_of_everything_leaves_order(replicas: list[Replica], failures: list[str], seed: int) -> None:
    """No deadlock and no failure; positions gapless and in commit order; an administrator left; names unique."""
    http, operator = replicas[0].http, await replicas[0].operator()
    await make_role(http, operator, "editor")
    for name in NAMES:
        await make_user(http, operator, name, roles=["administrator"])
    for client in CLIENTS:
        await make_client(http, operator, client, audiences=[ISSUER], public=True)
    storm, stopping = Storm(replicas, seed), asyncio.Event()
    watching = asyncio.create_task(_watch(replicas[1], stopping))
    people = [storm.person() for _ in range(PEOPLE)]
    await asyncio.gather(*people, *(storm.administrator() for _ in range(ADMINISTRATORS)))
    stopping.set()
    assert (failures, [each for each in storm.answers if each[1] >= 500]) == ([], [])
    assert await watching == []
    administrators = select(func.count()).select_from(users.join(user_roles, user_roles.c.user == users.c.id))
    async with replicas[2].authority.database.reading() as connection:
        living = administrators.where(user_roles.c.role == "administrator", users.c.disabled == 0)
        assert (await connection.execute(living)).scalar_one() >= 1
        names = (await connection.execute(select(users.c.name))).scalars().all()
    assert len(names) == len(set(names))
    asked, done = {what for what, _ in storm.answers}, {what for what, status in storm.answers if status < 300}
    assert {"sign in", "add user", "delete user", "delete client"} <= asked
    assert len(done) > len(asked) / 2, "a storm in which next to nothing succeeds tries nothing"
