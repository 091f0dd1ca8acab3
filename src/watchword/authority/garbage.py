"""Python's garbage collector in a process that serves for long.

By its defaults it looks through everything that a start has left, a quarter of a million objects, each time that a
thousand followers have asked a few times: 60 ms, in which everybody waits. What a request leaves behind goes without a
collector, but for the few objects that refer to one another.
"""

import gc
from typing import Final

_YOUNG: Final = 10_000
"""So many more objects made than gone make it look: Python's 700 are what twenty followers ask."""


def keep_what_is_there() -> None:
    """Look no more at what is there now, as it stays until the process ends, and at what comes less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
