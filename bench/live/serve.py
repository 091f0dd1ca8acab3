"""``watchword``, whose new keys are of 2048 bits, as those of the servers it is measured against, and not of 3072."""

from watchword.cli.main import run
from watchword.core import algorithms

if __name__ == "__main__":
    algorithms.RSA_DEFAULT_BITS = 2048  # type: ignore[misc]
    run()
