"""``python -m bench.connections``."""

from collections.abc import Iterator

from bench.connections import lookout, sockets
from bench.live.command import main
from bench.live.stand import stand
from bench.table import Section


def measure(quick: bool, versions: dict[str, str]) -> Iterator[Section]:  # noqa: ARG001 - the usual ones will do
    """The lookout by itself, then everything over real sockets."""
    yield lookout.measure(quick=quick)
    with stand() as authority:
        yield from sockets.measure(authority, quick=quick)


if __name__ == "__main__":
    main("connections", measure)
