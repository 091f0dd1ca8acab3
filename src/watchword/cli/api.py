"""The admin API, from the command line: one command is one request, whether the authority is here or elsewhere."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, final
from urllib.parse import quote

import httpx2

from watchword.authority.settings import Settings
from watchword.cli.failures import Failed, failed
from watchword.errors import HistoryLost, NotReady, Stale
from watchword.transport import Address

OWN_CLIENT: Final = "watchword"
METADATA: Final = "/.well-known/oauth-authorization-server"
_LABEL: Final = "watchword command line"
_PAGE: Final = 500
_SECONDS: Final = 30.0
_KNOWS_TOO_LITTLE: Final = (NotReady.code, Stale.code)

Ask = Callable[[], str]


@final
class Api:
    """Requests to one authority as an administrator. ``token`` is asked for before each of them."""

    def __init__(
        self, runner: asyncio.Runner, client: httpx2.AsyncClient, token: Callable[[], Awaitable[str | None]]
    ) -> None:
        self._runner = runner
        self._client = client
        self._token = token

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, object] | None = None,
    ) -> Any:
        """Ask and give the answer's JSON, or None; raise `Failed` for a refusal or where nobody answers."""
        return self._runner.run(self._call(method, path, body, query))

    def pages(self, path: str, limit: int | None, after: str | None, **query: object) -> dict[str, Any]:
        """A list over as many pages as it takes to have ``limit`` items, or all."""
        items: list[Any] = []
        while True:
            wanted = _PAGE if limit is None else min(_PAGE, limit - len(items))
            page = self.call("GET", path, query=query | {"after": after, "limit": wanted})
            items += page["items"]
            after = page["next"]
            if after is None or (limit is not None and len(items) >= limit):
                return {"items": items, "next": after}

    def user(self, name: str) -> dict[str, Any]:
        """The user who signs in with that name."""
        users: list[dict[str, Any]] = self.call("GET", path("users"), query={"username": name})["items"]
        for user in users:
            if user["username"] == name:  # an empty name would ask for all users
                return user
        raise failed("not_found", "There is no user of that name.")

    async def _call(
        self, method: str, path: str, body: Mapping[str, object] | None, query: Mapping[str, object] | None
    ) -> Any:
        try:
            return _answer(await self._ask(method, path, body, query))
        except Failed as why:
            if why.problem["code"] not in _KNOWS_TOO_LITTLE:
                raise
            _answer(await self._ask("GET", "/readyz", None, None))  # refuses where the whole authority knows too little
            raise

    async def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None, query: Mapping[str, object] | None
    ) -> httpx2.Response:
        token = await self._token()
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = {} if content is None else {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            return await self._client.request(
                method, path, content=content, headers=headers, params=given(**query or {})
            )
        except httpx2.HTTPError as why:
            raise failed(
                "unreachable", f"The authority at {self._client.base_url} gives no answer: {_why(why)}."
            ) from None


def path(*parts: str) -> str:
    """A path of the admin API, each part quoted; `Failed` for what would lead to another place in it."""
    if any(part in ("", ".", "..") or "/" in part for part in parts):
        raise failed("not_found", "There is no such thing here.")
    return "/admin/" + "/".join(quote(part, safe="") for part in parts)


def given(**members: Any) -> dict[str, Any]:
    """A body or query of those options that were given."""
    return {name: value for name, value in members.items() if value is not None}


@contextmanager
def local_api(settings: Settings) -> Iterator[Api]:
    """The authority in this process, on the settings' database, as the operator."""
    # Only here: a command that acts elsewhere needs no database.
    from watchword.authority.app import build_app
    from watchword.authority.operator import operator_token
    from watchword.cli.local import opened

    with asyncio.Runner() as runner, opened(runner, settings) as authority:

        async def token() -> str:
            # Between two requests the loop stands still, and so does what our own guard knows.
            await authority.source.catch_up()
            if authority.source.known is None:  # else the wall would say no more than that it knows nothing
                hint = "run `watchword recover` if the database was restored"
                raise failed("history_lost", HistoryLost.sentence, reason=authority.source.last_error, hint=hint)
            return await operator_token(authority)

        transport = httpx2.ASGITransport(build_app(authority), client=("local", 0))
        client = httpx2.AsyncClient(transport=transport, base_url=authority.settings.issuer)
        yield Api(runner, client, token)


@contextmanager
def remote_api(
    url: str, *, name: str | None, password: Ask, new_password: Ask | None, token: str | None
) -> Iterator[Api]:
    """A running authority, as the administrator of that name, signed in for this command only; or with a token."""
    with asyncio.Runner() as runner, _client(runner, url) as client:
        held = token if name is None else None

        async def give() -> str | None:
            return held

        api = Api(runner, client, give)
        if name is None:
            yield api
            return
        held = _sign_in(api, name, password, new_password)
        try:
            yield api
        finally:
            with suppress(Failed):  # the command's own outcome counts; the session ends by itself
                api.call("POST", "/logout", body={})


@contextmanager
def open_api(url: str) -> Iterator[Api]:
    """A running authority, as nobody: for what everybody may read."""

    async def nothing() -> None:
        return None

    with asyncio.Runner() as runner, _client(runner, url) as client:
        yield Api(runner, client, nothing)


def check_url(url: str, *, plain_http_anywhere: bool) -> None:
    """``ValueError`` for what is no address of an authority, and for plain http beyond this machine."""
    Address.parse(url, plain_http_anywhere=plain_http_anywhere)


@contextmanager
def _client(runner: asyncio.Runner, url: str) -> Iterator[httpx2.AsyncClient]:
    # As in the guard's transport: no proxy from the environment and no redirect; a password travels here.
    client = httpx2.AsyncClient(
        base_url=url, timeout=_SECONDS, verify=ssl.create_default_context(), trust_env=False, follow_redirects=False
    )
    try:
        yield client
    finally:
        runner.run(client.aclose())


def _sign_in(api: Api, name: str, password: Ask, new_password: Ask | None) -> str:
    # Where the issuer's name was changed once, the client has more audiences than one: so name the one that counts.
    issuer = api.call("GET", METADATA).get("issuer")
    body: dict[str, object] = {"username": name, "password": password(), "client_id": OWN_CLIENT, "label": _LABEL}
    body["audience"] = issuer
    try:
        answer = api.call("POST", "/login", body=body)
    except Failed as why:
        if why.problem["code"] != "password_change_required" or new_password is None:
            raise
        answer = api.call("POST", "/login", body=body | {"new_password": new_password()})
    token: str = answer["access_token"]
    return token


def _answer(response: httpx2.Response) -> Any:
    if response.status_code == 204:
        return None
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if response.is_success and answer is not None:
        return answer
    if isinstance(answer, dict) and isinstance(answer.get("code"), str) and isinstance(answer.get("title"), str):
        raise Failed(answer)
    title = f"What answers there is no authority, or not well: status {response.status_code}."
    raise failed("no_authority", title, status=response.status_code)


def _why(error: httpx2.HTTPError) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__
