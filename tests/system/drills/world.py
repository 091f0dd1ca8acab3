"""Replicas of an authority, guards that follow them, and a network between all of them that fails when told to."""

import contextlib
import json
import queue
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import msgspec
from examples.processes import WATCHWORD, Process, address, connect, end_with_parent, eventually, free_port
from examples.stage import Administrator, Tokens, bearer, good
from servers.postgres import Postgres
from servers.proxy import Proxy
from tests.system.drills.history import Decisions
from tests.system.drills.watcher import Options, Spell
from tests.system.settings import FAST

from watchword.core.compact import read_unverified

AUDIENCE: Final = "drills"
MAX_STALENESS: Final = 2.0
"""Seconds; a drill waits for it more than once."""
PATIENCE: Final = 60.0
"""Seconds after which what has not happened never will."""
ANSWER_SECONDS: Final = 3.0
"""How long whoever revokes waits for a replica."""
LIFETIME: Final = 4 * 3600
"""Seconds; tokens live on where a wall clock is an hour ahead."""


@dataclass(frozen=True)
class Issued:
    """A token, and what to revoke so that it dies."""

    name: str
    token: str
    scope: str
    id: str


@dataclass
class Replica:
    """One process of the authority. Guards reach it through ``front``; it reaches its database through ``back``.

    ``api`` goes straight to it: what an administrator hears is no matter of the guards' network.
    """

    process: Process
    api: httpx2.Client
    front: Proxy
    back: Proxy | None

    @property
    def is_ready(self) -> bool:
        """Whether it can serve."""
        try:
            return self.api.get("/readyz").status_code == 200
        except httpx2.TransportError:
            return False


class Guarded:
    """A process with a guard in it: see `watcher`."""

    def __init__(self, name: str, options: Options, log: Path) -> None:
        self.name = name
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.system.drills.watcher", msgspec.json.encode(options).decode()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                preexec_fn=end_with_parent(signal.SIGKILL),
            )
        self._answers = queue.SimpleQueue[str]()
        threading.Thread(target=self._read, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        with contextlib.suppress(OSError):
            self._process.communicate()

    def pause(self) -> None:
        """Stop it in its tracks."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on; it does not know that it was paused."""
        self._process.send_signal(signal.SIGCONT)

    def watch(self, tokens: Mapping[str, str]) -> None:
        """Judge these tokens from now on, and no others."""
        self._ask("watch", tokens)

    def shift_clock(self, seconds: float) -> None:
        """Set its wall clock wrong by so much."""
        self._ask("shift_clock", seconds)

    def status(self) -> dict[str, Any]:
        """What the guard knows, and in ``outcomes`` how it judges each token now."""
        status: dict[str, Any] = self._ask("status")
        return status

    def history(self) -> Decisions:
        """Whatever it decided since `watch`."""
        decisions: Decisions = msgspec.convert(self._ask("history"), dict[str, list[Spell]])
        return decisions

    def _ask(self, verb: str, *arguments: object) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": verb, "with": arguments}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._answers.get(timeout=PATIENCE))

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)


class World:
    """Everything that takes part; `heal` undoes whatever a drill did to it."""

    def __init__(self, replicas: Sequence[Replica], postgres: Postgres | None, data: Path) -> None:
        self.replicas = replicas
        self.postgres = postgres
        self.data = data
        self.guards: list[Guarded] = []
        self._issuer = ""
        self._pool: list[Issued] = []
        self._numbers = iter(range(sys.maxsize))

    @property
    def fronts(self) -> list[Proxy]:
        """The ways from the guards to the replicas."""
        return [replica.front for replica in self.replicas]

    @property
    def backs(self) -> list[Proxy]:
        """The ways from the replicas to the database."""
        return [replica.back for replica in self.replicas if replica.back]

    @property
    def _api(self) -> httpx2.Client:
        return self.replicas[0].api

    # -- Beginning and healing

    def prepare(self, issuer: str) -> tuple[str, str]:
        """Register audiences, roles and clients; what the guards follow the feed with."""
        self._issuer = issuer
        shown_once = (self.data / "watchword.first-administrator").read_text().split()[-1]
        with connect(self.replicas[0].process.url) as connection:
            admin = Administrator(connection, shown_once)
            admin("POST", "/audiences", name=AUDIENCE)
            clients: list[dict[str, object]] = [
                {"id": "guard", "grants": ["feed"], "audiences": [AUDIENCE]},
                {"id": "robot", "grants": ["client_credentials"], "audiences": [AUDIENCE]},
                {"id": "web", "grants": ["login"], "audiences": [AUDIENCE], "public": True},
                {"id": "driver", "grants": ["client_credentials"], "audiences": [issuer], "roles": ["administrator"]},
            ]
            made = {str(one["id"]): admin("POST", "/clients", lifetime=LIFETIME, **one) for one in clients}
            self._secrets = {name: answer.get("client_secret") or "" for name, answer in made.items()}
        return "guard", self._secrets["guard"]

    def heal(self) -> None:
        """End all faults: what was killed is started, what was paused goes on, every way is open, clocks are right."""
        for guard in self.guards:
            guard.resume()
            guard.shift_clock(0)
        if self.postgres and not self.postgres.runs:
            self.postgres.start()
        for proxy in (*self.backs, *self.fronts):
            proxy.heal()
        for replica in self.replicas:
            replica.process.resume()
            if replica.process.status is not None:
                replica.process.start()
        assert eventually(lambda: all(replica.is_ready for replica in self.replicas), PATIENCE), "not all replicas heal"

    # -- Tokens

    def administrator(self) -> dict[str, str]:
        """The header of a program that may administer."""
        return bearer(self._own_token("driver", self._issuer))

    def take(self, count: int) -> list[Issued]:
        """So many tokens that nobody has tried to revoke; see `give_back`."""
        self._pool += self._issue(count - len(self._pool))
        taken, self._pool = self._pool[:count], self._pool[count:]
        return taken

    def give_back(self, issued: Iterable[Issued]) -> None:
        """Let the next drill have these."""
        self._pool += issued

    def _issue(self, count: int) -> list[Issued]:
        """New tokens; most die by themselves, some with their session, some with their user."""
        kinds = (self._issue_session, self._issue_user, *[self._issue_token] * 4)
        self._headers = self.administrator()
        return [kinds[number % len(kinds)](f"token-{next(self._numbers)}") for number in range(count)]

    def _issue_token(self, name: str) -> Issued:
        token = self._own_token("robot", AUDIENCE)
        return Issued(name, token, "token", read_unverified(token)[1]["jti"])

    def _issue_session(self, name: str) -> Issued:
        tokens = self._sign_in(name)
        return Issued(name, tokens.access, "session", tokens.claims["sid"])

    def _issue_user(self, name: str) -> Issued:
        tokens = self._sign_in(name)
        return Issued(name, tokens.access, "user", tokens.claims["sub"])

    def _sign_in(self, name: str) -> Tokens:
        password = secrets.token_urlsafe(18)
        user = {"username": name, "password": password}
        good(self._api.post("/admin/users", json=user, headers=self._headers))
        changed = {"new_password": secrets.token_urlsafe(18), "client_id": "web", "audience": AUDIENCE}
        return Tokens.of(self._api.post("/login", json=user | changed))

    def _own_token(self, client: str, audience: str) -> str:
        form = {"grant_type": "client_credentials", "audience": audience}
        return Tokens.of(self._api.post("/token", data=form, auth=(client, self._secrets[client]))).access


@contextmanager
def open_world(data: Path, *, replicas: int, guards: int, postgres: Postgres | None = None) -> Iterator[World]:
    """Start everything, and stop it all at the end. Without ``postgres`` there can be one replica only, on SQLite."""
    with ExitStack() as stack:
        database = postgres.create_database() if postgres else f"sqlite:///{data / 'watchword.db'}"
        secret, issuer = secrets.token_urlsafe(32), ""
        made = []
        for number in range(replicas):
            port = free_port()
            issuer = issuer or address(port)
            back = stack.enter_context(Proxy(database)) if postgres else None
            settings = {
                "WATCHWORD_ISSUER": issuer,
                "WATCHWORD_DATABASE": back.url if back else database,
                "WATCHWORD_PORT": str(port),
                "WATCHWORD_SECRET": secret,
                "WATCHWORD_ALGORITHM": "ES256",
                "WATCHWORD_MAX_LIFETIME": str(LIFETIME),
            }
            process = Process(
                f"replica {number}",
                [WATCHWORD, "serve"],
                address(port),
                environ=FAST | settings,
                log=data / f"replica-{number}.log",
                folder=data,
                last_signal=signal.SIGKILL,
            )
            stack.enter_context(process)
            stack.callback(process.resume)
            api = httpx2.Client(base_url=address(port), timeout=ANSWER_SECONDS, trust_env=False)
            front = stack.enter_context(Proxy(address(port)))
            made.append(Replica(process, stack.enter_context(api), front, back))
        for replica in made:
            replica.process.wait_until_ready("/readyz")
        world = World(made, postgres, data)
        client, client_secret = world.prepare(issuer)
        for number in range(guards):
            feed = [front.url for front in world.fronts]
            options = Options(issuer, AUDIENCE, feed, client, client_secret, MAX_STALENESS, LIFETIME)
            guard = Guarded(f"guard {number}", options, data / f"guard-{number}.log")
            stack.callback(guard.close)
            world.guards.append(guard)
        yield world
