"""Where the story plays: an authority and an example service in processes of their own, and what people do there."""

import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import httpx2

from examples import processes
from examples.processes import Process, connect, free_port
from examples.setup import change, new_password, set_up
from watchword.core.compact import read_unverified

REFUSAL_SECONDS: Final = 15.0
"""More than any propagation takes: after that long, a token that still stands is a failure."""


@dataclass(frozen=True)
class User:
    """Somebody who can sign in."""

    id: str
    name: str
    password: str


@dataclass(frozen=True)
class Tokens:
    """What a sign-in or a refresh was answered with."""

    access: str
    refresh: str

    @classmethod
    def of(cls, answer: httpx2.Response) -> Self:
        """Read them from an answer, which must be good."""
        members = good(answer).json()
        return cls(members["access_token"], members.get("refresh_token", ""))

    @cached_property
    def claims(self) -> dict[str, Any]:
        """The access token's payload."""
        return read_unverified(self.access)[1]


class Administrator:
    """The first administrator, over HTTP; signs in again whenever its token has died, of age or by the story."""

    def __init__(self, authority: httpx2.Client, one_time_password: str) -> None:
        self._authority = authority
        self._password = new_password()
        self._sign_in(one_time_password, new_password=self._password)

    def __call__(self, method: str, path: str, **members: object) -> dict[str, Any]:
        """Send one change to the admin API; its answer."""
        return change(self.connection, method, f"/admin{path}", **members)

    @property
    def connection(self) -> httpx2.Client:
        """A connection that carries a living token."""
        if self._authority.get("/account").status_code == 401:
            self._sign_in(self._password)
        return self._authority

    def _sign_in(self, password: str, **more: str) -> None:
        members = {"username": "admin", "password": password, "client_id": "watchword", **more}
        tokens = Tokens.of(self._authority.post("/login", json=members))
        self._authority.headers.update(bearer(tokens.access))


class Stage:
    """What people and applications do at the authority and at the example service; from any thread."""

    def __init__(
        self, data: Path, authority: Process, administrator: Administrator, service: Process, secret: str
    ) -> None:
        self.data = data
        self.administrator = administrator
        self.authority_process = authority
        self.issuer = authority.url
        self.secret = secret
        """Of the client ``articles``."""
        self.authority = connect(authority.url)
        self.articles = connect(service.url)
        self._numbers = itertools.count(1)

    def close(self) -> None:
        """Close the connections; the processes are not this object's."""
        self.authority.close()
        self.articles.close()

    # -- People and applications

    def add_user(self, *roles: str, name: str | None = None) -> User:
        """A new user."""
        name, password = name or f"user-{next(self._numbers)}", new_password()
        made = self.administrator("POST", "/users", username=name, password=password, roles=roles)
        return User(made["user"]["id"], name, password)

    def add_client(self, **members: object) -> tuple[str, str]:
        """A new client: its id, and its secret (empty for a public one)."""
        made = self.administrator("POST", "/clients", id=f"client-{next(self._numbers)}", **members)
        return made["client"]["id"], made.get("client_secret") or ""

    # -- At the authority

    def try_sign_in(self, user: User, client: str = "web", audience: str = "articles", **more: str) -> httpx2.Response:
        """The answer to a sign-in."""
        members = {"username": user.name, "password": user.password, "client_id": client, "audience": audience}
        return self.authority.post("/login", json=members | more)

    def sign_in(self, user: User, client: str = "web", audience: str = "articles", **more: str) -> Tokens:
        """Sign in, which must go well."""
        return Tokens.of(self.try_sign_in(user, client, audience, **more))

    def try_refresh(self, tokens: Tokens, client: str = "web", **more: str) -> httpx2.Response:
        """The answer to a refresh."""
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh, "client_id": client}
        return self.authority.post("/token", data=form | more)

    def try_own_token(self, client: str, secret: str, audience: str = "articles") -> httpx2.Response:
        """The answer to a client that asks for a token of its own."""
        form = {"grant_type": "client_credentials", "audience": audience}
        return self.authority.post("/token", data=form, auth=(client, secret))

    def account(self, user: User, method: str, path: str, **members: object) -> httpx2.Response:
        """What a user does about the own account, in a session of its own there; it must go well."""
        own = self.sign_in(user, audience=self.issuer)
        return good(self.authority.request(method, path, json=members or None, headers=bearer(own.access)))

    # -- At the example service

    def ask(self, token: str | None, method: str = "GET", path: str = "/me", **members: object) -> httpx2.Response:
        """Call the example service."""
        headers = {} if token is None else bearer(token)
        return self.articles.request(method, path, json=members or None, headers=headers)

    def first_refusal(self, token: str) -> tuple[httpx2.Response, float]:
        """Call the service without a pause until it refuses: the refusal, and the milliseconds until it came."""
        begun = time.perf_counter()
        while True:
            answer = self.ask(token)
            passed = time.perf_counter() - begun
            if not answer.is_success or passed > REFUSAL_SECONDS:
                return answer, passed * 1000


@contextmanager
def open_stage(data: Path, environ: Mapping[str, str] | None = None) -> Iterator[Stage]:
    """Start both processes on free ports and prepare them; at the end, stop them.

    ``environ`` is added to the environment of both. What they say is in ``*.log`` in ``data``.
    """
    authority = processes.authority(data, free_port(), environ=environ, log=data / "authority.log")
    with authority, connect(authority.url) as connection:
        authority.wait_until_ready("/readyz")
        # There is no terminal, so the password that is shown once lies in a file.
        shown_once = (data / "watchword.first-administrator").read_text().split()[-1]
        administrator = Administrator(connection, shown_once)
        secret = set_up(administrator.connection, issuer=authority.url, passwords={})
        service = articles_of(data, authority.url, secret, environ)
        with service:
            service.wait_until_ready("/health")
            stage = Stage(data, authority, administrator, service, secret)
            try:
                yield stage
            finally:
                stage.close()


def articles_of(data: Path, issuer: str, secret: str, environ: Mapping[str, str] | None = None) -> Process:
    """A process of the example service on a free port, not started yet."""
    port = free_port()
    log = data / f"articles-{port}.log"
    return processes.articles(data, port, issuer=issuer, secret=secret, environ=environ, log=log)


def bearer(token: str) -> dict[str, str]:
    """The header that carries an access token."""
    return {"Authorization": f"Bearer {token}"}


def good(answer: httpx2.Response) -> httpx2.Response:
    """The answer, which must not be a refusal: ``RuntimeError`` otherwise."""
    if not answer.is_success:
        raise RuntimeError(f"{answer.request.method} {answer.request.url} was refused: {told(answer)}")
    return answer


def told(answer: httpx2.Response) -> str:
    """An answer in a few words: the status, and why."""
    if answer.is_success:
        return str(answer.status_code)
    members, challenge = answer.json(), answer.headers.get("www-authenticate", "")
    if members.get("code") == "no_token" and "error=" not in challenge:
        return f"{answer.status_code} without an error code"
    why = f"missing {', '.join(members['missing'])}" if "missing" in members else members.get("code")
    return f"{answer.status_code} {why}"
