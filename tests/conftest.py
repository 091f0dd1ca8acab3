"""What all tests share: one key for each algorithm, databases, and examples that are the same in every run."""

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import settings
from servers.binaries import NotFound
from servers.pooler import Pooler, program
from servers.postgres import Postgres, Server

from watchword import Key
from watchword.core.algorithms import ALGORITHMS

settings.register_profile("watchword", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("watchword")


@pytest.fixture(scope="session", autouse=True)
def patience() -> None:
    """A busy machine may hold a test up for longer than a server waits for paused replicas; drills try the limit."""
    from watchword.authority.engines import postgres

    for begin in ("_READ", "_WRITE", "_WRITE_ALONE"):
        setattr(postgres, begin, getattr(postgres, begin).replace("session_timeout = 2000", "session_timeout = 20000"))


@pytest.fixture(scope="session")
def keys() -> Mapping[str, Key]:
    """One key for each algorithm, named after it; the RSA rows share one pair of primes, which are dear to find."""
    shared = rsa.generate_private_key(65537, 2048)
    return MappingProxyType(
        {
            name: Key(shared if row.key_type == "RSA" else row.generate(), name, kid=f"test-{name}")
            for name, row in ALGORITHMS.items()
        }
    )


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """PostgreSQL of the newest version, one for all tests of a worker; who breaks it starts one of their own."""
    with Postgres.any(18) as server:
        yield server


@pytest.fixture(scope="session")
def postgres16() -> Iterator[Server]:
    """PostgreSQL of the oldest version that is supported, one for all tests of a worker."""
    with Postgres.any(16) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Server) -> Iterator[str]:
    """An empty database on PostgreSQL, for one test."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def pooler(postgres: Server) -> Iterator[Pooler]:
    """pgbouncer in front of it, in transaction mode. CI has it; who has not may go without here."""
    try:
        program()
    except NotFound as why:
        pytest.skip(str(why))
    with Pooler(postgres) as pooler:
        yield pooler


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, once of each kind: for facts that hold on both."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'watchword.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def full() -> Iterator[int]:
    """The port of one who takes no more connections: what is sent there is dropped, as by a dead machine."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        for _ in range(8):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listening.getsockname())
        yield listening.getsockname()[1]
        for one in waiting:
            one.close()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where CI asks for it, a skipped test fails the run: what was not tried is not known to work."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
