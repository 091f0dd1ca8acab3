"""The chat of the how-to page, where its members are slow."""

import asyncio
from typing import Any

from tests.docs.pages import DOCS, blocks


class Member:
    """A WebSocket whose client reads, or does not."""

    def __init__(self, *, reads: bool) -> None:
        self.heard: list[str] = []
        self.closed = asyncio.Event()
        self.reading = asyncio.Event()
        if reads:
            self.reading.set()

    async def send_text(self, text: str) -> None:
        """It is sent as soon as the client reads."""
        await self.reading.wait()
        self.heard.append(text)

    async def close(self, code: int, reason: str) -> None:
        """As the chat closes who is too slow."""
        assert (code, reason) == (1008, "too slow")
        self.closed.set()


async def test_one_who_does_not_read() -> None:
    """The others hear everything; what waits for the slow one is bounded, and when it reads again it is closed."""
    (shown,) = (block for block in blocks(DOCS / "how-to" / "chat-over-websocket.md") if block.file == "chat.py")
    chat: dict[str, Any] = {}
    exec(compile(shown.text, shown.place, "exec"), chat)  # noqa: S102 - the page's own program
    quick, slow = Member(reads=True), Member(reads=False)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        for member in (quick, slow):
            chat["room"][member] = asyncio.Queue()
            sending = tasks.create_task(chat["send"](member, chat["room"][member]))
            if member is quick:
                stop = sending
        for number in range(1000):
            chat["tell"](str(number))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert quick.heard == [str(number) for number in range(1000)]
        assert list(chat["room"]) == [quick]
        slow.reading.set()
        await slow.closed.wait()
        stop.cancel()
    assert len(slow.heard) == 101
