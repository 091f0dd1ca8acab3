"""A process of many followers of one feed, which ask as guards do and make of each answer as little as can be.

The first line says whom to follow. ``follow N`` makes them N in all, and is answered when each holds a question. When
each has heard of something new, the time at which the last one did is said unasked; after ``note`` that is not said
any more, and ``noted`` is answered with all that was heard since: for each follower pairs of a time and a number of
the log.
"""

import asyncio
import json
import re
import sys
from typing import Any, Final, final

from bench.live.command import wait_for
from bench.live.processes import survive_interrupts
from bench.live.wire import Answer, Wire, open_wire

HOLD: Final = 7.5  # seconds: what a guard asks for whose max_staleness is 30 s
_CURSOR: Final = re.compile(rb'"cursor":"([^"]+)"')
_NUMBER: Final = re.compile(rb'"number":(\d+)')
_NOTHING: Final = b'"entries":[]'
_TOGETHER: Final = 50  # connect at once, less than a listener's backlog


@final
class _Follower(Wire):
    """One connection that always has a question open."""

    def __init__(self, crowd: "_Crowd", number: int) -> None:
        super().__init__()
        self._crowd = crowd
        self._query = b"hold=%.1f&stale=30&guard=bench-%d" % (HOLD, number)
        self._asked = 0
        self.heard: list[tuple[float, int]] = []

    def ask(self, cursor: bytes | None) -> None:
        """Ask what came after a cursor."""
        self._asked += 1
        after = b"after=%b&" % cursor if cursor else b""
        self.send(b"GET /revocations?%b%b&nonce=n%d%b" % (after, self._query, self._asked, self._crowd.rest))

    def answered(self, answer: Answer) -> None:
        """Take the cursor out and ask again."""
        found = _CURSOR.search(answer.body)
        if answer.status != 200 or found is None:
            self._crowd.failed(answer)
            return
        self.ask(found[1])
        if self._asked == 2:
            self._crowd.joined()
        elif _NOTHING not in answer.body:
            if self._crowd.notes:
                number = _NUMBER.search(answer.body)
                self.heard.append((answer.at, int(number[1]) if number else 0))
            else:
                self._crowd.heard(answer.at)


@final
class _Crowd:
    """All of them."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url
        lines = {"Host": "127.0.0.1", "Accept": "application/json", "Cache-Control": "no-store", **headers}
        fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.rest = f" HTTP/1.1\r\n{fields}\r\n".encode()
        self.notes = False
        self._followers: list[_Follower] = []
        self._wanted = self._holding = self._heard = 0
        self._all_hold = asyncio.Event()

    async def follow(self, count: int) -> None:
        """Be that many."""
        self._wanted = count
        self._all_hold.clear()
        while len(self._followers) < count:
            numbers = range(len(self._followers), min(count, len(self._followers) + _TOGETHER))
            made = [open_wire(lambda number=number: _Follower(self, number), self._url) for number in numbers]  # type: ignore[misc]
            new = await asyncio.gather(*made)
            self._followers += new
            for follower in new:
                follower.ask(None)
        await self._all_hold.wait()

    def joined(self) -> None:
        self._holding += 1
        if self._holding == self._wanted:
            self._all_hold.set()

    def heard(self, at: float) -> None:
        self._heard += 1
        if self._heard == len(self._followers):
            self._heard = 0
            print(repr(at), flush=True)

    def failed(self, answer: Answer) -> None:
        print(f"a follower was answered {answer.status}: {answer.body[:200]!r}", file=sys.stderr)
        sys.exit(1)

    def noted(self) -> str:
        """What was heard."""
        return json.dumps([follower.heard for follower in self._followers])


async def _main() -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    told: dict[str, Any] = json.loads(await lines.readline())
    crowd = _Crowd(**told)
    while line := (await lines.readline()).decode():
        match line.split():
            case ["follow", count]:
                await crowd.follow(int(count))
                print("held", flush=True)
            case ["note"]:
                crowd.notes = True
                print("noting", flush=True)
            case ["noted"]:
                print(crowd.noted(), flush=True)


if __name__ == "__main__":
    survive_interrupts()
    wait_for(_main())
