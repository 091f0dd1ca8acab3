"""Drills: PostgreSQL fails over to a standby, or is restored elsewhere, under an authority that goes on running."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import msgspec
import pytest
from httpx2 import ASGITransport, AsyncClient
from servers.postgres import Postgres
from tests.authority.helpers import ISSUER, Json, account, bearer, code, good, make_user, refresh, sign_in

from watchword.authority.alarm import AlarmWatch
from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.database import Database
from watchword.authority.log.head import read_head
from watchword.authority.operator import operator_token
from watchword.authority.recover import keep_history, recover
from watchword.authority.settings import Settings
from watchword.errors import Unavailable

SECONDS = 30.0


@pytest.fixture(scope="module")
def primary() -> Iterator[Postgres]:
    """A server of our own; who stops it starts it again."""
    with Postgres() as server:
        yield server


@pytest.fixture
def anyio_backend() -> str:
    """The authority runs on asyncio."""
    return "asyncio"


class Scene:
    """An authority on a database with a standby, and a user with a session."""

    def __init__(self, authority: Authority, http: AsyncClient, primary: Postgres, standby: Postgres) -> None:
        self.authority = authority
        self.http = http
        self.primary = primary
        self.standby = standby
        self.user: Json = {}
        self.tokens: Json = {}

    async def sign_out(self) -> None:
        """End the user's sessions; it is acknowledged."""
        headers = bearer(await operator_token(self.authority))
        good(await self.http.post(f"/admin/users/{self.user['id']}/sign-out", headers=headers))

    async def eventually(self, path: str, outcome: str) -> None:
        """Ask until that is the outcome."""
        async with asyncio.timeout(SECONDS):
            while code(await self.http.get(path)) != outcome:
                pass  # it asks the database each time


@asynccontextmanager
async def scene(
    primary: Postgres, *, query: str = "", synchronous: bool = False, **settings: bool
) -> AsyncIterator[Scene]:
    """The stage of a drill; at the end all is as it was."""
    async with AsyncExitStack() as stack:
        database = stack.enter_context(primary.database())
        standby = primary.standby(synchronous=synchronous)
        stack.callback(_mend, primary, standby)
        # Both servers in one URL, as an operator names them: whichever answers is taken.
        both = database.replace(f":{primary.port}/", f":{primary.port},127.0.0.1:{standby.port}/") + query
        place = Settings(issuer=ISSUER, database=both, secret="s" * 32, open_feed=True)
        quick = msgspec.structs.replace(place, algorithm="ES256", password_memory_kib=8, password_rounds=1)
        authority = await Authority.open(msgspec.structs.replace(quick, **settings))
        stack.push_async_callback(authority.close)
        http = AsyncClient(transport=ASGITransport(build_app(authority)), base_url=ISSUER)
        played = Scene(authority, await stack.enter_async_context(http), primary, standby)
        played.user = await make_user(http, bearer(await operator_token(authority)))
        played.tokens = await sign_in(http)
        yield played


def _mend(primary: Postgres, standby: Postgres) -> None:
    standby.close()
    if not primary.runs:
        primary.start()
    primary.sql("ALTER SYSTEM RESET synchronous_standby_names")
    primary.sql("SELECT pg_reload_conf()")


async def test_an_asynchronous_standby_that_takes_over_closes_the_feed_by_itself(primary: Postgres) -> None:
    """It has lost a revocation, and nobody has to prove it: the server is another one. Recovery voids the rest."""
    async with scene(primary) as drill:
        drill.standby.stop()
        await drill.sign_out()
        primary.stop("immediate")
        drill.standby.start()

        await drill.eventually("/readyz", "unavailable")  # the standby answers, but not for the feed
        assert code(await drill.http.get("/revocations")) == "unavailable"
        assert code(await refresh(drill.http, drill.tokens["refresh_token"])) == "unavailable"

        drill.standby.promote()
        await drill.eventually("/readyz", "history_lost")
        assert code(await drill.http.get("/revocations")) == "history_lost"
        async with drill.authority.database.reading() as connection:
            assert "the database was on" in ((await read_head(connection)).alarm or "")

        await recover(drill.authority)
        assert code(await drill.http.get("/readyz")) == "ok"
        assert await account(drill.http, drill.tokens) == "key_withdrawn"
        assert code(await refresh(drill.http, drill.tokens["refresh_token"])) == "invalid_grant"
        assert await account(drill.http, await sign_in(drill.http)) == "ok"


async def test_who_listens_goes_on_trying_until_there_is_a_primary(primary: Postgres) -> None:
    """A URL that asks for a primary finds none for a while: that is a database that is away, and no more."""
    standby, heard = primary.standby(), asyncio.Event()
    database = Database(f"{standby.url()}?target_session_attrs=primary")
    listening = asyncio.create_task(database.listen(heard.set))
    try:
        with pytest.raises(Unavailable):
            await database.exists()
        standby.promote()
        async with asyncio.timeout(SECONDS):
            await heard.wait()
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await database.dispose()
        standby.close()


async def test_it_can_recover_by_itself(primary: Postgres) -> None:
    """With `auto_recover` a failover costs everybody a new sign-in, and nobody a night."""
    async with scene(primary, auto_recover=True) as drill:
        watch = AlarmWatch(drill.authority)
        try:
            primary.stop("immediate")
            drill.standby.promote()
            async with asyncio.timeout(SECONDS):
                while await account(drill.http, drill.tokens) != "key_withdrawn":
                    pass  # it asks the database each time
            assert code(await drill.http.get("/readyz")) == "ok"
            assert await account(drill.http, await sign_in(drill.http)) == "ok"
        finally:
            await watch.stop()


async def test_a_synchronous_standby_takes_over_and_nothing_is_lost(primary: Postgres) -> None:
    """With `lossless_failover` the epoch goes on: what was revoked is revoked, and what stood stands."""
    query = "?target_session_attrs=primary"
    async with scene(primary, query=query, synchronous=True, lossless_failover=True) as drill:
        before = good(await drill.http.get("/readyz"))["position"].partition(".")[0]
        await drill.sign_out()
        tokens = await sign_in(drill.http)
        primary.stop("immediate")
        await drill.eventually("/readyz", "unavailable")
        drill.standby.promote()
        await drill.eventually("/readyz", "ok")
        assert code(await drill.http.get("/revocations")) == "ok"
        assert good(await drill.http.get("/readyz"))["position"].partition(".")[0] == before
        assert await account(drill.http, drill.tokens) == "signed_out"
        assert await account(drill.http, tokens) == "ok"
        assert code(await refresh(drill.http, tokens["refresh_token"])) == "ok"


async def test_a_dump_in_another_cluster_is_no_failover(primary: Postgres) -> None:
    """`lossless_failover` says nothing about it; that nothing was lost, the operator can say."""
    async with scene(primary, lossless_failover=True) as drill:
        name = urlsplit(drill.authority.settings.database).path.removeprefix("/")
        with Postgres() as elsewhere:
            moved = elsewhere.load(primary.dump(primary.url(name)))
            authority = await Authority.open(msgspec.structs.replace(drill.authority.settings, database=moved))
            try:
                async with AsyncClient(transport=ASGITransport(build_app(authority)), base_url=ISSUER) as http:
                    assert code(await http.get("/readyz")) == "history_lost"
                    await keep_history(authority)
                    assert code(await http.get("/readyz")) == "ok"
                    assert await account(http, drill.tokens) == "ok"
            finally:
                await authority.close()
