"""Servers that a test may break."""

from collections.abc import Iterator

import pytest
from servers.postgres import VERSIONS, Postgres


@pytest.fixture(scope="module", params=VERSIONS)
def own(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A server of our own, of each version; who breaks it mends it."""
    with Postgres(request.param) as server:
        yield server
