"""The authority and the example service, with a few people to try them as, until Ctrl-C: ``make run``."""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from examples import processes
from examples.processes import NotStarted, Process
from examples.setup import USERS, new_password, set_up
from watchword.authority.authority import Authority
from watchword.authority.operator import operator_token
from watchword.authority.settings import load_settings

GREETING = """
The authority        {issuer}/.well-known/oauth-authorization-server
The example service  {service}/docs
The people           {people}
Their passwords      {file}

Try it in another terminal. Sign in as ada, an editor, and keep the token:

ADA=$(curl -s {issuer}/login -H 'Content-Type: application/json' \\
  -d '{{"username": "ada", "password": "{ada}", "client_id": "web", "audience": "articles"}}' \\
  | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
curl -i {service}/me -H "Authorization: Bearer $ADA"
curl -i {service}/articles -H "Authorization: Bearer $ADA" -H 'Content-Type: application/json' \\
  -d '{{"title": "On guards", "body": "They hold two small things in memory."}}'

Publishing needs an architect, and the refusal says so:

curl -i -X POST {service}/articles/1/publish -H "Authorization: Bearer $ADA"

Sign ada out everywhere, and her token is refused at once:

ACCOUNT=$(curl -s {issuer}/login -H 'Content-Type: application/json' \\
  -d '{{"username": "ada", "password": "{ada}", "client_id": "web", "audience": "{issuer}"}}' \\
  | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
curl -i {issuer}/logout -H "Authorization: Bearer $ACCOUNT" -H 'Content-Type: application/json' \\
  -d '{{"everywhere": true}}'
curl -i {service}/me -H "Authorization: Bearer $ADA"

Administer as the first administrator, whose first sign-in asks for a new password:

{watchword} --url {issuer} --as admin user list

Ctrl-C stops both; the next start finds everything again.
"""


@dataclass
class Kept:
    """What a second start must know, kept in a file of mode 0600."""

    issuer: str
    passwords: dict[str, str]
    articles_secret: str = ""

    @classmethod
    def at(cls, path: Path, issuer: str) -> "Kept":
        """Read the file, or make it with new passwords."""
        if path.exists():
            return cls(**json.loads(path.read_text()))
        kept = cls(issuer, {name: new_password() for name in USERS})
        kept.write(path)
        return kept

    def write(self, path: Path) -> None:
        """Replace the file in one step."""
        beside = path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(self), file, indent=2)
        beside.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Run until Ctrl-C or SIGTERM; 0, or 1 after one line that says what went wrong."""
    options = _options(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        _run(options.data.absolute(), options.port, options.articles_port)
    except KeyboardInterrupt:
        return 0
    except (NotStarted, RuntimeError, OSError) as why:
        print(f"examples.run: {why}", file=sys.stderr)
        return 1
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m examples.run", description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="the authority's port (8000)")
    parser.add_argument("--articles-port", type=int, default=8001, help="the example service's port (8001)")
    parser.add_argument("--data", type=Path, default=Path("var"), help="the directory that keeps everything (var)")
    return parser.parse_args(arguments)


def _run(data: Path, port: int, articles_port: int) -> None:
    for taken in (number for number in (port, articles_port) if not processes.is_free(number)):
        raise NotStarted(f"port {taken} is taken; end what listens there, or give --port and --articles-port")
    data.mkdir(parents=True, exist_ok=True)
    file = data / "examples.json"
    kept = Kept.at(file, processes.address(port))
    if kept.issuer != processes.address(port):
        raise NotStarted(f"{data} belongs to {kept.issuer}; give that --port, or another directory as --data")
    # What happens at the example service is what there is to see; the authority speaks up when something is wrong.
    quiet = {"WATCHWORD_LOG_LEVEL": os.environ.get("WATCHWORD_LOG_LEVEL", "warning")}
    with processes.authority(data, port, environ=quiet) as authority:
        authority.wait_until_ready("/readyz")
        if not kept.articles_secret:
            kept.articles_secret = _set_up(data, kept)
            kept.write(file)
        with processes.articles(data, articles_port, issuer=kept.issuer, secret=kept.articles_secret) as service:
            service.wait_until_ready("/health")
            print(_greeting(kept, service.url, file), flush=True)
            _wait_for_an_end([authority, service])


def _set_up(data: Path, kept: Kept) -> str:
    """Over HTTP, as the operator of this machine: whoever can read the database and its secret."""
    settings = load_settings({"issuer": kept.issuer, "database": processes.database(data)})

    async def token() -> str:
        authority = await Authority.open(settings)
        try:
            return await operator_token(authority)
        finally:
            await authority.close()

    with processes.connect(kept.issuer) as operator:
        operator.headers["Authorization"] = f"Bearer {asyncio.run(token())}"
        return set_up(operator, issuer=kept.issuer, passwords=kept.passwords)


def _greeting(kept: Kept, service: str, file: Path) -> str:
    people = ", ".join(f"{name} ({role})" for name, role in USERS.items())
    return GREETING.format(
        issuer=kept.issuer,
        service=service,
        people=people,
        file=_short(file),
        ada=kept.passwords["ada"],
        watchword=_short(Path(processes.WATCHWORD)),
    )


def _short(path: Path) -> str:
    """The path as one types it from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _end(*_: object) -> None:
    """The first signal ends everything, and no second one comes between."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _wait_for_an_end(running: Iterable[Process]) -> None:
    """Until a signal ends this wait as `KeyboardInterrupt`; `NotStarted` if a process ends by itself before."""
    while True:
        for process in running:
            if process.status is not None:
                raise NotStarted(f"{process.name} has ended with status {process.status}")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
