"""What all tests share: one key for each algorithm, and examples that are the same in every run."""

import os
from collections.abc import Mapping
from types import MappingProxyType

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import settings

from watchword import Key
from watchword.core.algorithms import ALGORITHMS

settings.register_profile("watchword", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("watchword")


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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where CI asks for it, a skipped test fails the run: what was not tried is not known to work."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
