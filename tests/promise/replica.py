"""One process of the authority: its own code over a store. All that this world knows of `watchword.authority` is here.

The transactions and the log are the authority's own functions, and so are the reader of pages and the held answers.
What is left out is HTTP, and the pool of connections; both are tried elsewhere, against real processes.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import insert, select, update
from tests.promise.history import EPOCH, KEPT, KEY_LISTED, KEY_WITHDRAWN, Chain, Event, Token
from tests.promise.loop import Operation, Process, step, the_loop
from tests.promise.store import Folder, Image, Place, Store

from watchword import Issuer, Key
from watchword.authority.accounts.directory import User, read_user
from watchword.authority.authority import Authority
from watchword.authority.clients.registry import Client, read_client
from watchword.authority.database import Database
from watchword.authority.engines.inline import Row
from watchword.authority.engines.prepared import Prepared
from watchword.authority.housekeeping import FLOOR_MARGIN as FLOOR_MARGIN
from watchword.authority.keys.keyring import Keyring
from watchword.authority.keys.rotation import rotate, withdraw, withdraw_all
from watchword.authority.keys.vault import Vault
from watchword.authority.log import cut
from watchword.authority.log.cursor import Cursor
from watchword.authority.log.head import Head, begin_log, forget_below_floor, raise_floor, read_head
from watchword.authority.log.held import Held
from watchword.authority.log.reader import LogReader
from watchword.authority.log.revoker import Revoker, Wanted
from watchword.authority.mint import mint_for_user
from watchword.authority.recover import keep_history, recover, recover_by_itself
from watchword.authority.schema import clients, entries, head, keys, roles, secrets, sessions, user_roles, users
from watchword.authority.settings import Settings
from watchword.core.compact import read_unverified
from watchword.core.cutoffs import Position, Scope
from watchword.errors import Refused

ISSUER: Final = "https://auth.example"
AUDIENCE: Final = "orders"
BEGINNING: Final = 1_700_000_000.0
LIFETIME: Final = 900  # seconds that a token lives
USERS: Final = ("ada", "ben")
CLIENTS: Final = ("web", "app")
SESSIONS: Final = ("s1", "s2")
ROLE: Final = "editor"
FIRST_SERVER: Final = "first/1"
"""The cluster and timeline of the first database."""
_CURSOR_KEY: Final = b"k" * 32
_SECRET: Final = "s" * 32
_SETTINGS: Final = Settings(
    issuer=ISSUER, secret=_SECRET, algorithm="ES256", access_lifetime=LIFETIME, max_lifetime=LIFETIME
)

SCOPES: Final = tuple(scope.value for scope in Scope)
_CUTOFFS: Final = select(entries.c.scope, entries.c.id, entries.c.position)
HEAD_NUMBER: Final = select(head.c.position)
_LISTED: Final = select(keys.c.kid).where(keys.c.state != "withdrawn")


class Answer(NamedTuple):
    """What a replica says to a question."""

    status: int
    body: bytes


class ReadForMint(NamedTuple):
    """What a token is made of, and what had happened in the snapshot that said so."""

    at: Head
    user: User
    client: Client
    key: Key
    chain: Chain
    database: object


class Pairs:
    """Key pairs, made once and used again in every world."""

    _made: Final[list[Key]] = []

    def __init__(self) -> None:
        self._used = 0
        self.by_kid: Final[dict[str, Key]] = {}

    def take_first(self) -> None:
        """Have the pairs of `first_image`."""
        for _ in range(2):
            self.take()

    def take(self) -> Key:
        """A pair that this world has not had."""
        if self._used == len(self._made):
            self._made.append(Key.generate("ES256"))
        key = self._made[self._used]
        self._used += 1
        self.by_kid[key.kid] = key
        return key


class Replicated:
    """What a replica's code has for a `Database`: transactions of the store that it reaches."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self.store_of = self.reads_of = store

    @property
    def store(self) -> Store:
        """The store that is written to now."""
        return self.store_of()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Any]:
        """A transaction that sees one snapshot."""
        async with self.reads_of().transaction(writing=False) as transaction:
            yield transaction

    async def fetch(self, query: Prepared, **values: object) -> list[Row]:
        """The rows of one query, in a snapshot of its own."""
        async with self.reading() as transaction:
            return await query.rows(transaction, **values)

    @asynccontextmanager
    async def writing(self, *, alone: bool = False) -> AsyncIterator[Any]:
        """A transaction that may write; on SQLite it always is alone."""
        async with self.store.transaction(writing=True) as transaction:
            yield transaction


class Replica:
    """A process that serves, from its start to its death."""

    def __init__(self, store: Callable[[], Store], pairs: Pairs, *, lossless: bool = False) -> None:
        self.process = Process()
        self.database = Replicated(store)
        self.keyring = Keyring(_SETTINGS, Vault(_SECRET))
        self.reader = LogReader(cast("Database", self.database), ISSUER, _CURSOR_KEY, lossless=lossless)
        self.held = Held(self.reader)
        self.revoker = Revoker(self._revoking)
        self.pairs = pairs
        self._wanted: list[Event] = []

    async def hear(self) -> None:
        """The log has moved: those who wait are woken."""
        self.reader.wake()

    async def release(self) -> None:
        """Those who wait are answered, since the process is about to end."""
        self.reader.release()

    async def answer(self, cursor: str | None, hold: float) -> Answer:
        """What the feed answers, after so many seconds if there is nothing new."""
        try:
            read = await self.held.page(None if cursor is None else self.reader.cursor(cursor), hold)
        except Refused as why:
            return Answer(why.status, b'{"code": "%b"}' % why.code.encode())
        return Answer(200, read.body)

    async def sign_in(self, user: str, client: str, session: str) -> Token:
        """Read, verify the credential for as long as that takes, and mint."""
        read = await self.reading_for_mint(user, client)
        await step()
        minted = mint_for_user(
            _SETTINGS,
            read.key,
            read.at,
            user=read.user,
            client=read.client,
            audience=AUDIENCE,
            scopes=frozenset(),
            session=session,
            refresh_token="-",
        )
        return token_of(minted.access_token, read.chain, read.database)

    async def reading_for_mint(self, user: str, client: str) -> "ReadForMint":
        """Head, subject and key, in one snapshot."""
        async with self.database.reading() as connection:
            at = await read_head(connection)
            who, through = await read_user(connection, user), await read_client(connection, client)
            key = await self.keyring.current(connection)
        assert who is not None
        assert through is not None
        return ReadForMint(at, who, through, key, connection.seen, connection.store)

    async def revoke(self, scope: str, identifier: str) -> list[Event]:
        """Cut somebody off; those who want that at the same time share a transaction."""
        event = Event(scope, identifier)
        self._wanted.append(event)
        try:
            await self.revoker.revoke(Wanted(Scope(scope), identifier, "operator", "-"))
            assert event not in self._wanted, "acknowledged, and not written"
        finally:
            if event in self._wanted:
                self._wanted.remove(event)
        return [event]

    @asynccontextmanager
    async def _revoking(self) -> AsyncIterator[Any]:
        """The transaction of the revoker; what the log says after it has happened with it."""
        async with self.database.writing() as connection:
            before = (await connection.execute(select(head.c.position))).scalar_one()
            yield connection
            query = (
                select(entries.c.scope, entries.c.id).where(entries.c.position > before).order_by(entries.c.position)
            )
            for entry in (await connection.execute(query)).all():
                event = next(one for one in self._wanted if (one.kind, one.id) == tuple(entry))
                self._wanted.remove(event)
                connection.happens(event)

    async def change_password(self, user: str) -> list[Event]:
        """What stands on the old password falls."""
        async with self.database.writing() as connection:
            await connection.execute(update(users).where(users.c.id == user).values(password_hash="another"))
            await cut.cut_user(connection, user, "credentials_changed")
            events: list[Event] = connection.happens(Event("user", user))
        return events

    async def rotate(self) -> list[Event]:
        """The next key signs, and a new one is published."""
        fresh = self.pairs.take()
        async with self.database.writing() as connection:
            await rotate(connection, self.keyring, fresh)
            events: list[Event] = connection.happens(Event(KEY_LISTED, fresh.kid))
        return events

    async def withdraw(self, which: int) -> list[Event]:
        """One of the listed keys never counts again."""
        fresh = self.pairs.take()
        async with self.database.writing() as connection:
            known = await listed(connection)
            kid = known[which % len(known)]
            await withdraw(connection, self.keyring, kid, fresh)
            events: list[Event] = connection.happens(Event(KEY_WITHDRAWN, kid), Event(KEY_LISTED, fresh.kid))
        return events

    async def withdraw_all(self) -> list[Event]:
        """None of the listed keys ever counts again."""
        current, following = self.pairs.take(), self.pairs.take()
        async with self.database.writing() as connection:
            gone = [Event(KEY_WITHDRAWN, kid) for kid in await listed(connection)]
            await withdraw_all(connection, self.keyring, current, following)
            events: list[Event] = connection.happens(
                *gone, Event(KEY_LISTED, current.kid), Event(KEY_LISTED, following.kid)
            )
        return events

    async def keep_house(self) -> list[Event]:
        """Forget what is over."""
        async with self.database.writing() as connection:
            await raise_floor(connection, FLOOR_MARGIN)
        async with self.database.writing() as connection:
            await forget_below_floor(connection)
        return []

    async def recover(self, *, clone: bool = False) -> list[Event]:
        """Begin a new epoch."""
        operator = _Operator(self, self.pairs)
        await recover(cast("Authority", operator), clone=clone)
        return operator.events

    async def recover_by_itself(self) -> list[Event]:
        """Begin a new epoch if the feed is closed."""
        operator = _Operator(self, self.pairs)
        await recover_by_itself(cast("Authority", operator))
        return operator.events

    async def keep_history(self) -> list[Event]:
        """Say that nothing was lost."""
        operator = _Operator(self, self.pairs)
        await keep_history(cast("Authority", operator))
        return operator.events


class _Operator:
    """What recovery wants of an authority; it notes what the transaction does, as the world has to know."""

    def __init__(self, replica: Replica, pairs: Pairs) -> None:
        self._replica = replica
        self.pairs = pairs
        self.keyring = replica.keyring
        self.settings = _SETTINGS
        self.events: list[Event] = []
        cast("Any", self.keyring).generate = self._generate  # the real one takes a thread

    async def _generate(self) -> Key:
        return self.pairs.take()

    @asynccontextmanager
    async def administering(self) -> AsyncIterator[Any]:
        """The transaction of the recovery."""
        async with self._replica.database.writing() as connection:
            (epoch, alarm), before = await _state(connection), await listed(connection)
            yield connection
            (new_epoch, new_alarm), after = await _state(connection), await listed(connection)
            begun = [Event(EPOCH, new_epoch)] if new_epoch != epoch else []
            kept = [Event(KEPT, epoch)] if alarm is not None and new_alarm is None and not begun else []
            gone = [Event(KEY_WITHDRAWN, kid) for kid in before if kid not in after]
            come = [Event(KEY_LISTED, kid) for kid in after if kid not in before]
            self.events = connection.happens(*begun, *kept, *gone, *come)


async def _state(connection: Any) -> tuple[str, str | None]:
    """The epoch, and the alarm that stands."""
    epoch, alarm = (await connection.execute(select(head.c.epoch, head.c.alarm))).one()
    return epoch, alarm


async def listed(connection: Any) -> list[str]:
    """The names of the keys that count, the oldest first."""
    query = select(keys.c.kid).where(keys.c.state != "withdrawn").order_by(keys.c.created_at, keys.c.kid)
    return list((await connection.execute(query)).scalars())


def token_of(text: str, chain: Chain, database: object | None) -> Token:
    """What a token says, with what its mint knew; no database for a forged one."""
    header, claims = read_unverified(text)
    position = Position.parse(claims["wwd_pos"])
    return Token(
        text,
        chain,
        header["kid"],
        claims["sub"],
        claims["client_id"],
        claims["sid"],
        frozenset(claims["roles"]),
        claims["jti"],
        position.epoch,
        position.number,
        claims["iat"],
        claims["exp"],
        database,
    )


def forge(key: Key, position: Position, now: float, chain: Chain) -> Token:
    """What a thief makes of a stolen key: anybody's token, of any position."""
    text = Issuer(ISSUER, key, lifetime=timedelta(seconds=LIFETIME)).mint(
        subject=USERS[0],
        audience=AUDIENCE,
        client=CLIENTS[0],
        session=SESSIONS[0],
        roles=[ROLE],
        position=position,
        issued_at=now,
    )
    return token_of(text, chain, None)


def place_of(cursor: str) -> Place:
    """The place that a cursor names."""
    opened = Cursor.open(cursor, _CURSOR_KEY)
    assert opened is not None
    return Place(opened.epoch, opened.number, opened.mark)


def place_now(store: Store) -> Place:
    """Where a store's log is."""
    return Place(*store.look(select(head.c.epoch, head.c.position, head.c.mark))[0])


def ruling(store: Store, token: Token) -> bool:
    """Whether a token stands by what is committed now, its time apart: read from the tables, by this world alone."""
    epoch, floor = store.look(select(head.c.epoch, head.c.floor))[0]
    cut_at = [at for scope, id_, at in store.look(_CUTOFFS) if id_ in token.ids.get(scope, ())]
    listed = [kid for (kid,) in store.look(_LISTED)]
    return (
        token.kid in listed
        and token.epoch == epoch
        and token.number >= floor
        and all(token.number >= number for number in cut_at)
    )


def instance_of(store: Store) -> str:
    """Whose log it is."""
    return str(store.look(select(head.c.instance))[0][0])


def floor_of(store: Store) -> int:
    """The position below which everything is dead."""
    return int(store.look(select(head.c.floor))[0][0])


@cache
def first_image() -> Image:
    """A new authority's database: two users, two clients, a key that signs and one that comes next."""
    folder, pairs = Folder(), Pairs()
    path = folder.new_file()
    asyncio.run(_migrate(path))
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for pragma in ("journal_mode = DELETE", "page_size = 1024"):  # the smaller, the quicker to copy
            raw.execute(f"PRAGMA {pragma}")
        raw.execute("VACUUM")
        raw.execute("PRAGMA journal_mode = WAL")
        data = raw.serialize()
    store = Store(folder, Image(data, ()), lambda: BEGINNING, {}, FIRST_SERVER)
    replica = Replica(lambda: store, pairs)
    filling = Operation(replica.process, _fill(replica, pairs), None, lambda _: None)
    the_loop().settle()
    filling.task.result()
    image = store.image()
    store.close()
    folder.clean()
    return image


async def _migrate(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    await database.migrate()
    await database.dispose()


async def _fill(replica: Replica, pairs: Pairs) -> None:
    made = {"created_at": BEGINNING}
    async with replica.database.writing() as connection:
        await begin_log(connection, ISSUER, LIFETIME)
        await connection.execute(update(head).values(identity=FIRST_SERVER))
        await connection.execute(insert(secrets).values(name="cursor_key", wrapped=Vault(_SECRET).wrap(b"", "")))
        for state in ("current", "next"):
            await replica.keyring.add(connection, pairs.take(), state, BEGINNING)
        await connection.execute(insert(roles).values(name=ROLE))
        for user in USERS:
            await connection.execute(insert(users).values(id=user, name=user, password_hash="one", **made))
        await connection.execute(insert(user_roles).values(user=USERS[0], role=ROLE))
        for client in CLIENTS:
            await connection.execute(insert(clients).values(id=client, name=client, grants="login", **made))
        since = {"used_at": BEGINNING, "epoch": "-", "number": 0, "audience": AUDIENCE} | made
        for session, user, client in zip(SESSIONS, USERS, CLIENTS, strict=True):
            await connection.execute(insert(sessions).values(id=session, user=user, client=client, **since))


def keys_of(store: Store) -> list[str]:
    """The names of the keys that are listed, the oldest first."""
    return [kid for (kid,) in store.look(_LISTED.order_by(keys.c.created_at, keys.c.kid))]
