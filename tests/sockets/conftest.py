"""What the tests over real sockets share."""

from collections.abc import Iterator, Mapping

import pytest
from tests.guard.authority import Authority

from watchword import Key


@pytest.fixture(scope="module")
def authority(keys: Mapping[str, Key]) -> Iterator[Authority]:
    """Whom the services follow."""
    authority = Authority(keys["Ed25519"])
    yield authority
    authority.close()
