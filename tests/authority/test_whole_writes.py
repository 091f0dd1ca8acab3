"""Answers leave in one piece, and nothing of them is lost or kept back."""

import asyncio

import pytest

from watchword.authority.whole_writes import Joining

pytestmark = pytest.mark.anyio


class Line(asyncio.Transport):
    """A connection that notes what is written to it."""

    def __init__(self) -> None:
        super().__init__(extra={"peername": ("192.0.2.1", 4711)})
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Note it."""
        assert not self.closed
        self.written.append(data if isinstance(data, bytes) else bytes(data))

    def close(self) -> None:
        """Take no more."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether no more is taken."""
        return self.closed


@pytest.fixture
def line() -> Line:
    """A connection."""
    return Line()


@pytest.fixture
async def joining(line: Line) -> Joining:
    """What stands before it."""
    return Joining(line, asyncio.get_running_loop())


async def test_head_and_body_are_one_write(line: Line, joining: Joining) -> None:
    """What is written twice in a turn leaves as one, at once."""
    joining.write(b"head")
    joining.write(b"body")
    assert line.written == [b"headbody"]
    await asyncio.sleep(0)
    assert line.written == [b"headbody"]


async def test_what_stays_alone_leaves_when_the_turn_ends(line: Line, joining: Joining) -> None:
    """A head whose body is long in coming is not kept back."""
    joining.write(b"head")
    await asyncio.sleep(0)
    assert line.written == [b"head"]


async def test_only_one_piece_waits(line: Line, joining: Joining) -> None:
    """An answer of many pieces is written as it comes, so that the transport can say when it is enough."""
    for piece in (b"1", b"2", b"3", b"4", b"5"):
        joining.write(piece)
    assert line.written == [b"12", b"34"]
    await asyncio.sleep(0)
    assert line.written == [b"12", b"34", b"5"]


async def test_what_is_large_is_not_copied(line: Line, joining: Joining) -> None:
    """A page that many followers share is handed on as it is, after its head, and nothing comes later twice."""
    page = b"." * 100_000
    joining.write(b"head")
    joining.write(page)
    await asyncio.sleep(0)
    assert line.written == [b"head", page]
    assert line.written[1] is page


async def test_nothing_is_lost_at_the_end(line: Line, joining: Joining) -> None:
    """Whoever closes has its last piece written first."""
    joining.write(b"goodbye")
    joining.close()
    assert (line.written, line.closed, joining.is_closing()) == ([b"goodbye"], True, True)


async def test_nothing_is_written_to_who_has_left(line: Line, joining: Joining) -> None:
    """The client went in the same turn: what waited is dropped, and no error comes of it."""
    joining.write(b"head")
    line.closed = True
    await asyncio.sleep(0)
    assert line.written == []


async def test_an_empty_body_is_no_write_of_its_own(line: Line, joining: Joining) -> None:
    """204 and HEAD have a head only."""
    joining.write(b"head")
    joining.write(b"")
    joining.write(b"")
    await asyncio.sleep(0)
    assert line.written == [b"head"]


async def test_who_is_there_can_be_seen(joining: Joining) -> None:
    """The server reads the client's address through it."""
    assert joining.get_extra_info("peername") == ("192.0.2.1", 4711)
