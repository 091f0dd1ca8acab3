"""What goes on in the background goes on whatever happens: a loop that ends unseen is found when it is needed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from watchword.errors import Refused

_log: Final = logging.getLogger("watchword.authority")


@contextmanager
def surviving(what: str) -> Iterator[None]:
    """Live through a round of a loop that fails: a database that is away in silence, anything else with its trace."""
    try:
        yield
    except Refused:
        pass  # the next round may find it again; whoever asks is told by a refusal of their own
    except Exception:  # noqa: BLE001 - that is what it is for
        _log.exception("%s failed, and goes on", what)
