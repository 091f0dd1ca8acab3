"""What is cut off in tests of crash points: each operation that writes, on a stage that is the same every time."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from httpx2 import ASGITransport, AsyncClient, Response
from sqlalchemy import select, update
from tests.authority.crashing import Crash, Died, armed
from tests.authority.helpers import (
    ISSUER,
    PASSWORD,
    Headers,
    Json,
    account,
    bearer,
    good,
    make_client,
    make_user,
    refresh,
    sign_in,
)

from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.operator import operator_token
from watchword.authority.recover import recover
from watchword.authority.schema import keys
from watchword.authority.settings import Settings

NEW: Final = "a new password, and a long one"
WEB: Final = ("web", None)
_DAY: Final = 86400.0


@dataclass(frozen=True)
class Stage:
    """What was prepared. Ada sits at two devices, the phone by the client ``web``; Bob is nobody's business."""

    ada: str
    desk: Json
    phone: Json
    bob: Json
    spent: str
    """A refresh token of the desk that was used, and so was the one after it."""
    kid: str
    """The key that signs."""


@dataclass(frozen=True)
class Scene:
    """The stage with a process that serves it."""

    stage: Stage
    authority: Authority
    http: AsyncClient
    operator: Headers

    async def administer(self, method: str, path: str, body: object = None) -> Response:
        """Ask as an administrator."""
        return await self.http.request(method, f"/admin{path}", json=body, headers=self.operator)

    async def refuses(self) -> dict[str, str]:
        """What the process says to each device's access token."""
        return {device: await account(self.http, getattr(self.stage, device)) for device in DEVICES}

    async def works(self) -> None:
        """Whatever was cut off, Bob signs in, refreshes and gives back."""
        tokens = await sign_in(self.http, "bob")
        tokens = good(await refresh(self.http, tokens["refresh_token"]))
        assert await account(self.http, tokens) == "ok"
        form = {"token": tokens["refresh_token"], "client_id": "watchword"}
        good(await self.http.post("/revoke", data=form))
        assert await account(self.http, tokens) == "session_ended"


@asynccontextmanager
async def served(settings: Settings, stage: Stage) -> AsyncIterator[Scene]:
    """A process that starts now, on what the database holds."""
    authority = await Authority.open(settings)
    try:
        async with AsyncClient(transport=ASGITransport(build_app(authority)), base_url=ISSUER) as http:
            yield Scene(stage, authority, http, bearer(await operator_token(authority)))
    finally:
        await authority.close()


async def prepared(settings: Settings) -> Stage:
    """Fill an empty database."""
    authority = await Authority.open(settings)
    async with AsyncClient(transport=ASGITransport(build_app(authority)), base_url=ISSUER) as http:
        operator = bearer(await operator_token(authority))
        ada = await make_user(http, operator, "ada", roles=["editor"])
        await make_user(http, operator, "bob")
        await make_client(http, operator, WEB[0], audiences=[ISSUER], public=True)
        first = await sign_in(http)
        second = good(await refresh(http, first["refresh_token"]))
        desk = good(await refresh(http, second["refresh_token"]))
        phone, bob = await sign_in(http, client=WEB), await sign_in(http, "bob")
        async with authority.database.writing() as connection:  # so long ago that the next key may sign
            older = {"created_at": keys.c.created_at - _DAY, "changed_at": keys.c.changed_at - _DAY}
            await connection.execute(update(keys).values(older))
            kid = (await connection.execute(select(keys.c.kid).where(keys.c.state == "current"))).scalar_one()
    await authority.close()
    return Stage(ada["id"], desk, phone, bob, first["refresh_token"], kid)


@dataclass(frozen=True)
class Operation:
    """Something that writes: how it is asked for, the status of its answer, and which devices are refused after it."""

    ask: Callable[[Scene], Awaitable[Response]]
    status: int = 200
    ends: Mapping[str, str] = field(default_factory=dict)


async def asked(scene: Scene, operation: Operation, crash: Crash) -> Response | None:
    """The answer, or None if the process was cut off before there was any."""
    token = armed.set(crash)
    try:
        return await operation.ask(scene)
    except Died:
        return None
    finally:
        armed.reset(token)


DEVICES: Final = ("desk", "phone", "bob")


def _all(code: str) -> dict[str, str]:
    return dict.fromkeys(DEVICES, code)


def _ada(code: str) -> dict[str, str]:
    return {"desk": code, "phone": code}


def _sign_in(password: str) -> Callable[[Scene], Awaitable[Response]]:
    body = {"username": "ada", "password": password, "client_id": "watchword"}
    return lambda scene: scene.http.post("/login", json=body)


def _change_password(scene: Scene) -> Awaitable[Response]:
    body = {"password": PASSWORD, "new_password": NEW}
    return scene.http.post("/account/password", json=body, headers=bearer(scene.stage.desk))


def _give_back(which: str) -> Callable[[Scene], Awaitable[Response]]:
    return lambda scene: scene.http.post("/revoke", data={"token": scene.stage.desk[which], "client_id": "watchword"})


def _on_ada(method: str, verb: str = "", body: object = None) -> Callable[[Scene], Awaitable[Response]]:
    return lambda scene: scene.administer(method, f"/users/{scene.stage.ada}{verb}", body)


def _revoke(scope: str, name: Callable[[Stage], str] | None = None) -> Callable[[Scene], Awaitable[Response]]:
    def ask(scene: Scene) -> Awaitable[Response]:
        body = {"scope": scope} | ({"id": name(scene.stage)} if name else {})
        return scene.administer("POST", "/revocations", body)

    return ask


def _revoke_foreign(scene: Scene) -> Awaitable[Response]:
    body = {"issuer": "https://id.example", "scope": "user", "id": "f-1", "before": 1795457813}
    return scene.administer("POST", "/revocations/foreign", body)


async def _recover(scene: Scene) -> Response:
    return Response(200, content=json.dumps(str(await recover(scene.authority))))


OPERATIONS: Final[Mapping[str, Operation]] = {
    "a sign-in": Operation(_sign_in(PASSWORD)),
    "a wrong sign-in": Operation(_sign_in("wrong"), 401),
    "a refresh": Operation(lambda scene: refresh(scene.http, scene.stage.desk["refresh_token"])),
    "a reuse": Operation(lambda scene: refresh(scene.http, scene.stage.spent), 400, {"desk": "session_ended"}),
    "a change of the password": Operation(_change_password, ends=_ada("credentials_changed")),
    "an end of all other sessions": Operation(
        lambda scene: scene.http.delete("/account/sessions", headers=bearer(scene.stage.phone)),
        204,
        {"desk": "session_ended"},
    ),
    "a refresh token given back": Operation(_give_back("refresh_token"), ends={"desk": "session_ended"}),
    "everyone revoked": Operation(_revoke("everyone"), ends=_all("everything_expired")),
    "a user revoked": Operation(_revoke("user", lambda stage: stage.ada), ends=_ada("signed_out")),
    "another issuer's user revoked": Operation(_revoke_foreign),
    "a user disabled": Operation(_on_ada("POST", "/disable"), ends=_ada("user_disabled")),
    "a user deleted": Operation(_on_ada("DELETE"), ends=_ada("user_deleted")),
    "other roles": Operation(_on_ada("PUT", "/roles", {"roles": []}), ends=_ada("roles_changed")),
    "a rotation of keys": Operation(lambda scene: scene.administer("POST", "/keys/rotate")),
    "a key withdrawn": Operation(
        lambda scene: scene.administer("POST", f"/keys/{scene.stage.kid}/withdraw"), ends=_all("key_withdrawn")
    ),
    "a recovery": Operation(_recover, ends=_all("key_withdrawn")),
}
