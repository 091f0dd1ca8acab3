"""Public test vectors: their data stays outside the project, and a run without them fails."""

import pytest
from vectors.data import FOLDER, MISSING


def pytest_configure() -> None:
    """One line instead of a thousand errors."""
    if MISSING:
        raise pytest.UsageError(f"no test vectors in {FOLDER}: {', '.join(MISSING)}; name their folder in TEST_VECTORS")
