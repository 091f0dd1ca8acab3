"""What tests of the authority do again and again: over HTTP like everybody else, but for the passing of time."""

from collections.abc import Iterable
from typing import Any, Final

from httpx2 import AsyncClient, Response
from sqlalchemy import update

from watchword.authority.authority import Authority
from watchword.authority.schema import keys

PASSWORD: Final = "correct horse battery staple"
ISSUER: Final = "http://127.0.0.1:8000"
OWN_CLIENT: Final = "watchword"

Json = dict[str, Any]
Headers = dict[str, str]


def bearer(token: str | Json) -> Headers:
    """The header that carries an access token; an answer of /login or /token will do for it."""
    return {"Authorization": f"Bearer {token if isinstance(token, str) else token['access_token']}"}


def good(response: Response) -> Any:
    """The answer's JSON (None for 204), after a check that it is a good one."""
    assert response.status_code < 400, f"{response.status_code} {response.text}"
    return response.json() if response.content else None


def code(response: Response) -> str:
    """The code of a refusal, or "ok"."""
    return "ok" if response.status_code < 400 else str(response.json()["code"])


async def make_role(http: AsyncClient, operator: Headers, name: str) -> None:
    """See that there is a role."""
    response = await http.post("/admin/roles", json={"name": name}, headers=operator)
    assert response.status_code in (201, 409), response.text


async def make_audience(http: AsyncClient, operator: Headers, name: str) -> None:
    """See that there is an audience."""
    response = await http.post("/admin/audiences", json={"name": name}, headers=operator)
    assert response.status_code in (201, 409), response.text


async def make_user(
    http: AsyncClient,
    operator: Headers,
    username: str = "ada",
    *,
    roles: Iterable[str] = (),
    password: str = PASSWORD,
    **more: object,
) -> Json:
    """A user who can sign in with `PASSWORD`, as GET /admin/users/{user} shows it; missing roles are made."""
    roles = list(roles)
    for role in roles:
        await make_role(http, operator, role)
    body = {"username": username, "password": password, "roles": roles, **more}
    made: Json = good(await http.post("/admin/users", json=body, headers=operator))["user"]
    return made


async def make_client(
    http: AsyncClient,
    operator: Headers,
    identifier: str = "web",
    *,
    grants: Iterable[str] = ("login",),
    audiences: Iterable[str] = ("orders",),
    roles: Iterable[str] = (),
    **more: object,
) -> tuple[str, str | None]:
    """A client's id and secret (None for a public one); missing audiences and roles are made."""
    for role in (roles := list(roles)):
        await make_role(http, operator, role)
    for audience in (audiences := list(audiences)):
        await make_audience(http, operator, audience)
    body = {"id": identifier, "grants": list(grants), "audiences": audiences, "roles": roles, **more}
    made = good(await http.post("/admin/clients", json=body, headers=operator))
    return made["client"]["id"], made.get("client_secret")


async def sign_in(
    http: AsyncClient,
    username: str = "ada",
    *,
    password: str = PASSWORD,
    client: tuple[str, str | None] = (OWN_CLIENT, None),
    audience: str | None = None,
    **more: object,
) -> Json:
    """The tokens of a new session; by default for the authority's own API (/account)."""
    body: Json = {"username": username, "password": password, "client_id": client[0], **more}
    if client[1] is not None:
        body["client_secret"] = client[1]
    if audience is not None:
        body["audience"] = audience
    tokens: Json = good(await http.post("/login", json=body))
    return tokens


async def refresh(http: AsyncClient, token: str, client: tuple[str, str | None] = (OWN_CLIENT, None)) -> Response:
    """The answer to a refresh."""
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": client[0]}
    if client[1] is not None:
        form["client_secret"] = client[1]
    return await http.post("/token", data=form)


async def account(http: AsyncClient, tokens: str | Json) -> str:
    """What the authority's own guard says to this token at GET /account: "ok" or the code of its refusal."""
    return code(await http.get("/account", headers=bearer(tokens)))


async def age_keys(authority: Authority, seconds: float) -> None:
    """Let every signing key be older by so much, as time would."""
    older = {"created_at": keys.c.created_at - seconds, "changed_at": keys.c.changed_at - seconds}
    async with authority.database.writing() as connection:
        await connection.execute(update(keys).values(older))
