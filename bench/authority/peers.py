"""Other servers of tokens, each in one process and set up in its own best way; `bench.prepare` installs them."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from examples.processes import Process, address, free_port

from bench.authority.tokens import CONNECTIONS, Subject, repeating, rotating
from bench.live.processes import ROOT, processor_clock
from bench.live.stand import folder
from bench.live.wire import basic, request
from watchword import Key

_HERE: Final = Path(__file__).parent
_INSTALLED: Final = ROOT / ".venv-bench"
_NODE: Final = _INSTALLED / "oidc-provider"
_PYTHON: Final = _INSTALLED / "simplejwt" / "bin" / "python"
_THREADS: Final = 2


def version(name: str) -> str | None:
    """The version of a peer, None where it is not installed."""
    if name == "oidc-provider":
        package = _NODE / "node_modules" / name / "package.json"
        return str(json.loads(package.read_text())["version"]) if package.exists() and shutil.which("node") else None
    if not _PYTHON.exists():
        return None
    code = (
        "from importlib.metadata import version as v;"
        "print(v('djangorestframework-simplejwt'), '(Django', v('django') + ', gunicorn', v('gunicorn') + ')')"
    )
    return subprocess.run([_PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def _oidc_provider() -> Iterator[Subject]:
    """In memory: nothing it says is durable."""
    with folder() as data:
        port, tokens = free_port(), data / "tokens.json"
        command = [str(shutil.which("node")), str(_HERE / "oidc-provider.mjs"), str(_NODE), str(port), str(tokens)]
        command.append(str(CONNECTIONS))
        with _server("oidc-provider", command, port, data, "/jwks") as process:
            proof = basic("service", "secret")
            own = request("POST", "/token", headers=proof, form={"grant_type": "client_credentials"})

            def trade(token: str) -> bytes:
                form = {"grant_type": "refresh_token", "refresh_token": token}
                return request("POST", "/token", headers=proof, form=form)

            refresh = [rotating(first, trade) for first in json.loads(tokens.read_text())]
            steps: Any = {"client_credentials": [repeating(own)] * CONNECTIONS, "refresh": refresh}
            yield Subject(process.url, _clock(process), steps)


@contextmanager
def _simplejwt() -> Iterator[Subject]:
    """Rotation and blacklist, on a durable SQLite file. It knows no client credentials."""
    with folder() as data:
        key = Key.generate("RS256")
        (data / "key.pem").write_text(key.to_pem())
        (data / "public.pem").write_text(key.public.to_pem())
        environ = {"BENCH_FOLDER": str(data), "PYTHONPATH": str(_HERE)}
        prepare = [str(_PYTHON), str(_HERE / "simplejwt.py"), str(CONNECTIONS)]
        subprocess.run(prepare, env=environ, check=True)
        port = free_port()
        command = [str(_PYTHON), "-m", "gunicorn", "simplejwt:application", "--bind", f"127.0.0.1:{port}"]
        command += ["--workers", "1", "--worker-class", "gthread", "--threads", str(_THREADS), "--log-level", "warning"]
        with _server("simplejwt", command, port, data, "/", environ) as process:

            def trade(token: str) -> bytes:
                return request("POST", "/refresh", members={"refresh": token})

            first = json.loads((data / "tokens.json").read_text())
            refresh = [rotating(token, trade, member="refresh") for token in first]
            yield Subject(process.url, _worker_clock(process), {"refresh": refresh})


SERVERS: Final = MappingProxyType[str, Callable[[], AbstractContextManager[Subject]]](
    {"oidc-provider": _oidc_provider, "simplejwt": _simplejwt}
)


@contextmanager
def _server(
    name: str, command: list[str], port: int, data: Path, path: str, environ: dict[str, str] | None = None
) -> Iterator[Process]:
    with Process(name, command, address(port), environ=environ or {}, log=data / "log") as process:
        process.wait_until_ready(path)
        yield process


def _clock(process: Process) -> Callable[[], float]:
    assert process.pid is not None
    return processor_clock(process.pid)


def _worker_clock(process: Process) -> Callable[[], float]:
    """gunicorn's own process starts another, which does the work."""
    worker = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
    return processor_clock(int(worker))
