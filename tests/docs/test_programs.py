"""Programs that the pages show, where things go wrong that no reader of the page has seen."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.docs.pages import DOCS, blocks

from watchword import Caller, errors


def shown(page: Path, words: str, **known: object) -> dict[str, Any]:
    """What the page's block with these words defines."""
    (block,) = (block for block in blocks(page) if words in block.text)
    names: dict[str, Any] = dict(known)
    exec(compile(block.text, block.place, "exec"), names)  # noqa: S102 - the page's own program
    return names


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
    chat = shown(DOCS / "how-to" / "chat-over-websocket.md", "# chat.py")
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


class Work:
    """Work that waits, or ends, for a caller who stays or is gone."""

    def __init__(self) -> None:
        self.begun, self.end, self.left = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.error: Exception | None = None
        self.refusal: asyncio.Future[errors.Refused] = asyncio.get_running_loop().create_future()
        known = {"asyncio": asyncio, "Caller": Caller, "write_everything": self.write}
        export = shown(DOCS / "reference" / "guard.md", "async def export", **known)["export"]
        self.task = asyncio.create_task(export(self))

    async def write(self) -> str:
        """The work."""
        self.begun.set()
        try:
            await self.end.wait()
        finally:
            self.left.set()
        if self.error is not None:
            raise self.error
        return "written"

    async def gone(self) -> errors.Refused:
        """As `Caller.gone`."""
        return await self.refusal


async def test_work_that_goes_on() -> None:
    """It ends with its result, its own error, what ended the caller, or its handler; and leaves nothing."""
    before = asyncio.all_tasks()
    async with asyncio.timeout(10):
        done, failed, gone, cancelled = works = [Work() for _ in range(4)]
        for work in works:
            await work.begun.wait()
        done.end.set()
        assert await done.task == "written"
        failed.error = OSError("full")
        failed.end.set()
        with pytest.raises(OSError, match="full"):
            await failed.task
        gone.refusal.set_result(errors.UserDisabled("at 7"))
        with pytest.raises(errors.UserDisabled):
            await gone.task
        cancelled.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled.task
        for work in works:
            await work.left.wait()
        while asyncio.all_tasks() != before:  # noqa: ASYNC110 - what is cancelled ends by itself
            await asyncio.sleep(0)
