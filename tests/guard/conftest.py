"""What the tests of the guard share."""

from collections.abc import Mapping

import pytest
from tests.guard.world import World

from watchword import Key


@pytest.fixture
def world(keys: Mapping[str, Key]) -> World:
    """A fresh world under a quick key."""
    return World(keys["Ed25519"])
