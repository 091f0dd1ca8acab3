"""One authority and one example service for all system tests of a worker, in processes of their own."""

from collections.abc import Iterator

import pytest
from examples.stage import Stage, open_stage
from tests.system.settings import FAST


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The stage of the story; whoever ends a process on it starts it again."""
    with open_stage(tmp_path_factory.mktemp("stage"), FAST) as opened:
        yield opened
