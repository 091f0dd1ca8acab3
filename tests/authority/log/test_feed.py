"""The feed's endpoint."""

import asyncio
import base64
from typing import Any

import pytest
from httpx2 import AsyncClient, Response
from sqlalchemy import update
from tests.authority.helpers import Headers, code, good, make_client

from watchword.authority.authority import Authority
from watchword.authority.log.cut import cut_token
from watchword.authority.schema import head
from watchword.core.feed import Page

pytestmark = pytest.mark.both_databases


def _basic(client: tuple[str, str | None]) -> Headers:
    pair = f"{client[0]}:{client[1] or ''}".encode()
    return {"Authorization": "Basic " + base64.b64encode(pair).decode()}


@pytest.fixture
async def guard(http: AsyncClient, operator: Headers) -> Headers:
    """The credentials of a client that may follow the feed."""
    return _basic(await make_client(http, operator, "orders", grants=["feed"]))


async def _ask(http: AsyncClient, guard: Headers, **query: Any) -> Response:
    return await http.get("/revocations", params={"nonce": "n", **query}, headers=guard)


async def test_a_first_answer_is_a_snapshot_that_echoes_the_nonce(http: AsyncClient, guard: Headers) -> None:
    """Nobody may keep it, and it can be told from an answer to somebody else."""
    response = await _ask(http, guard, nonce="abc-123_X")
    page = Page.decode(response.content)
    assert page.after is None
    assert response.headers["watchword-nonce"] == "abc-123_X"
    assert response.headers["cache-control"] == "no-store"


async def test_a_hold_that_ends_empty_rests_on_a_read_of_its_end(
    http: AsyncClient, authority: Authority, guard: Headers
) -> None:
    """The last look at the database comes after the hold, not before it."""
    cursor = Page.decode((await _ask(http, guard)).content).cursor
    answer = Page.decode((await _ask(http, guard, after=cursor, hold=0.05)).content)
    assert (answer.entries, answer.cursor) == ([], cursor)


async def test_a_held_answer_comes_with_the_change(http: AsyncClient, authority: Authority, guard: Headers) -> None:
    """Whoever waits hears of a cutoff as soon as it is committed."""
    cursor = Page.decode((await _ask(http, guard)).content).cursor
    waiting = [asyncio.create_task(_ask(http, guard, after=cursor, hold=20, nonce=f"n{n}")) for n in range(5)]
    await asyncio.sleep(0)
    async with authority.changing() as connection:
        await cut_token(connection, "t")
    answers = await asyncio.gather(*waiting)
    assert [[entry.id for entry in Page.decode(answer.content).entries] for answer in answers] == [["t"]] * 5
    assert [answer.headers["watchword-nonce"] for answer in answers] == [f"n{n}" for n in range(5)]


async def test_all_who_wait_are_answered_when_the_process_stops(
    http: AsyncClient, authority: Authority, guard: Headers
) -> None:
    """A shut-down does not wait for holds to end."""
    cursor = Page.decode((await _ask(http, guard)).content).cursor
    waiting = asyncio.create_task(_ask(http, guard, after=cursor, hold=20))
    await asyncio.sleep(0)
    authority.reader.release()
    assert Page.decode((await waiting).content).entries == []


@pytest.mark.parametrize(
    ("grants", "secret", "expected"),
    [(["feed"], None, "invalid_client"), (["feed"], "wrong", "invalid_client"), (["login"], "", "unauthorized_client")],
)
async def test_only_clients_that_may_follow_get_pages(
    http: AsyncClient, operator: Headers, grants: list[str], secret: str | None, expected: str
) -> None:
    """What changed about whom is nobody else's business."""
    client = await make_client(http, operator, "x", grants=grants)
    given = _basic((client[0], secret or client[1])) if secret is not None else {}
    response = await _ask(http, given)
    assert code(response) == expected
    if expected == "invalid_client":
        assert response.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "query",
    [
        {"hold": "long"},
        {"hold": "-1"},
        {"hold": "nan"},
        {"nonce": "a b"},
        {"nonce": "x" * 129},
        {"nonce": "é"},
        {"nonce": "abc\n"},
        {"x": "1"},
    ],
)
async def test_bad_questions_are_refused(http: AsyncClient, guard: Headers, query: dict[str, str]) -> None:
    """Each is told which field is wrong."""
    response = await _ask(http, guard, **query)
    assert response.status_code in (400, 422), response.text
    assert code(response) in ("invalid_field", "invalid_request")


async def test_a_cursor_that_cannot_be_read_gets_a_snapshot(http: AsyncClient, guard: Headers) -> None:
    """After a change of secret, for one."""
    assert Page.decode((await _ask(http, guard, after="garbage")).content).after is None


async def test_lost_history_is_503_for_all(http: AsyncClient, authority: Authority, guard: Headers) -> None:
    """A guard that has seen more than the log holds closes the feed; readiness says so too."""
    async with authority.changing() as connection:
        await cut_token(connection, "t")
    ahead = Page.decode((await _ask(http, guard)).content).cursor
    async with authority.database.writing() as connection:
        await connection.execute(update(head).values(position=0))
    responses = [await _ask(http, guard, after=ahead), await _ask(http, guard), await http.get("/readyz")]
    assert [(each.status_code, code(each)) for each in responses] == [(503, "history_lost")] * 3
    assert good(await http.get("/livez")) == {"status": "live"}
