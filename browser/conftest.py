"""Facts about real browsers: a machine without Chromium cannot try them."""

from collections.abc import Iterator, Mapping

import pytest
from browser.chromium import Chromium, program, started
from tests.conftest import keys
from tests.guard.authority import Authority
from tests.sockets.served import SERVERS, served

from watchword import Key

__all__ = ["keys"]


def pytest_configure() -> None:
    """One line instead of an error for each test."""
    if program() is None:
        raise pytest.UsageError("no Chromium here (on Debian: apt-get install chromium); or name it in TEST_CHROMIUM")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """The browser."""
    with started(tmp_path_factory.mktemp("chromium")) as chromium:
        yield chromium


@pytest.fixture(scope="session")
def authority(keys: Mapping[str, Key]) -> Iterator[Authority]:
    """Whom the services follow."""
    authority = Authority(keys["Ed25519"])
    yield authority
    authority.close()


@pytest.fixture(scope="session", params=SERVERS)
def url(
    request: pytest.FixtureRequest, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The service of `tests.sockets.service`, under each server."""
    with served(request.param, authority.url, tmp_path_factory.mktemp("service") / "log") as url:
        yield url
