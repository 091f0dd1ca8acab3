"""``watchword serve``, which also tells how much processor time its signatures take: as they take there.

What a signature costs in a tight loop is not what it costs between other work, beside a busy second processor that may
be half of the same core; so a server's own work is told from that of the signature within the server.
"""

import mmap
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from watchword.cli.main import run
from watchword.core.keys import Key

_SECONDS: Final = struct.Struct("d")


def signing_clock(path: Path) -> Callable[[], float]:
    """The processor time that such a server's signatures have taken so far, in seconds."""
    shared = _shared(path)
    return lambda: float(_SECONDS.unpack_from(shared)[0])


def _shared(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), _SECONDS.size)


def _tell_signatures(path: Path) -> None:
    path.write_bytes(bytes(_SECONDS.size))
    shared, made, clock, total = _shared(path), Key.__init__, time.thread_time, 0.0

    def timed(sign: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
        def signed(data: bytes) -> bytes:
            nonlocal total
            begun = clock()
            signature = sign(data)
            total += clock() - begun
            _SECONDS.pack_into(shared, 0, total)
            return signature

        return signed

    def make(key: Key, *given: Any, **named: Any) -> None:
        made(key, *given, **named)
        key.sign = timed(key.sign)

    Key.__init__ = make  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    _tell_signatures(Path(sys.argv.pop()))
    sys.argv.append("serve")
    run()
