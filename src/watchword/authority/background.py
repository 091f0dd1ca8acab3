"""What goes on in the background goes on whatever happens: a loop that ends unseen is found when it is needed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from watchword.errors import Refused

_log: Final = logging.getLogger("watchword.authority")


@contextmanager
def surviving(what: str, *expected: type[Exception]) -> Iterator[None]:
    """Live through a round of a loop that fails: what is expected, and a database that is away, in silence.

    Anything else is logged with its trace.
    """
    try:
        yield
    except Exception as why:  # noqa: BLE001 - that is what it is for
        if not isinstance(why, (Refused, *expected)):  # else the next round may find it again, and who asks is told
            _log.exception("%s failed, and goes on", what)
