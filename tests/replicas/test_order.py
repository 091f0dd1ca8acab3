"""Order across replicas: what was minted before a change is told from what was minted after it, exactly."""

import asyncio
from bisect import bisect_right
from typing import Final, NamedTuple

import pytest
from sqlalchemy import func, insert, select
from tests.authority.helpers import (
    ISSUER,
    OWN_CLIENT,
    PASSWORD,
    Json,
    bearer,
    code,
    good,
    make_client,
    make_user,
    refresh,
    sign_in,
)
from tests.replicas.world import Gate, Replica

from watchword.authority.schema import roles, sessions
from watchword.core.compact import read_unverified
from watchword.core.cutoffs import Position, judge

NEW: Final = "a new password, and a long one"
CHANGES: Final = 100
VERSIONS: Final = tuple(f"v{number:04}" for number in range(CHANGES + 1))
"""Roles, in the order in which they are given: they tell how old what a token was minted from is."""


async def test_a_sign_in_that_overlaps_a_change_of_the_password_elsewhere_gets_nothing(
    replicas: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old password was found right on two replicas before a third one changed it: no session comes of that."""
    here, *others = replicas
    await make_user(here.http, await here.operator())
    tokens = await sign_in(here.http)
    gates = [Gate(monkeypatch, replica.authority.hasher, "verify") for replica in others]
    body = {"username": "ada", "password": PASSWORD, "client_id": OWN_CLIENT}
    hashing = [asyncio.create_task(replica.http.post("/login", json=body)) for replica in others for _ in range(3)]
    for gate in gates:
        await gate.reached.wait()
    change = {"password": PASSWORD, "new_password": NEW}
    good(await here.http.post("/account/password", json=change, headers=bearer(tokens)))
    for gate in gates:
        gate.open.set()
    assert {code(answer) for answer in await asyncio.gather(*hashing)} == {"sign_in_failed"}
    async with here.authority.database.reading() as connection:
        standing = select(func.count()).select_from(sessions).where(sessions.c.cutoff == 0)
        query = standing.where(sessions.c.number > _minted(tokens, 0).number)
        assert (await connection.execute(query)).scalar_one() == 1


class Minted(NamedTuple):
    """A token's claims, and how many changes had been acknowledged when it was asked for."""

    claims: Json
    asked: int

    @property
    def version(self) -> int:
        """How many changes its roles were read after."""
        (role,) = self.claims["roles"]
        return VERSIONS.index(role)

    @property
    def number(self) -> int:
        """Where it stands in the log."""
        return Position.parse(self.claims["wwd_pos"]).number


async def test_no_mint_is_on_the_wrong_side_of_a_change(replicas: list[Replica]) -> None:
    """Hundreds of each at once: a change kills what was read before it, and nothing that was read after it."""
    here, operator = replicas[0], await replicas[0].operator()
    async with here.authority.database.writing() as connection:
        await connection.execute(insert(roles), [{"name": name} for name in VERSIONS])
    user = await make_user(here.http, operator, roles=VERSIONS[:1])
    client = await make_client(
        here.http, operator, "svc", grants=["client_credentials"], audiences=[ISSUER], roles=VERSIONS[:1]
    )
    of_user, of_client, done = list[int](), list[int](), asyncio.Event()
    refreshing = [asyncio.create_task(_refresh_until(done, of_user, replica)) for replica in replicas]
    minting = [asyncio.create_task(_mint_until(done, of_client, replica, client)) for replica in replicas]
    await asyncio.gather(
        _change(of_user, replicas[1], "PUT", f"/admin/users/{user['id']}/roles"),
        _change(of_client, replicas[2], "PATCH", f"/admin/clients/{client[0]}"),
    )
    done.set()
    await here.authority.source.catch_up()
    for numbers, tasks in ((of_user, refreshing), (of_client, minting)):
        minted = [token for each in await asyncio.gather(*tasks) for token in each]
        assert len(minted) > CHANGES
        for token in minted:
            assert token.version >= token.asked
            assert token.version == bisect_right(numbers, token.number)
            assert _stands(here, token) == (token.version == CHANGES)


def _stands(replica: Replica, token: Minted) -> bool:
    """What a guard that knows all changes says."""
    known = replica.authority.source.known
    assert known is not None
    claims = token.claims
    applying = known.knowledge.cutoffs.applying(
        client=claims["client_id"], roles=(), subject=claims["sub"], session=claims.get("sid", ""), token=""
    )
    return judge(token.number, applying) is None


async def _change(numbers: list[int], replica: Replica, method: str, path: str) -> None:
    """Give one version after the other; the number of each change, once it is acknowledged."""
    for version in VERSIONS[1:]:
        operator = await replica.operator()  # a new token each time: one would not last for all of them
        answer = good(await replica.http.request(method, path, json={"roles": [version]}, headers=operator))
        numbers.append(Position.parse(answer["position"]).number)


async def _refresh_until(done: asyncio.Event, numbers: list[int], replica: Replica) -> list[Minted]:
    """Refresh a session of Ada's, and once more after the end."""
    tokens, minted, over = await sign_in(replica.http), list[Minted](), False
    while not over:
        asked, over = len(numbers), done.is_set()
        tokens = good(await refresh(replica.http, tokens["refresh_token"]))
        minted.append(_minted(tokens, asked))
    return minted


async def _mint_until(
    done: asyncio.Event, numbers: list[int], replica: Replica, client: tuple[str, str | None]
) -> list[Minted]:
    """Ask for the client's own tokens, and once more after the end."""
    form = {"grant_type": "client_credentials", "client_id": client[0], "client_secret": client[1] or ""}
    minted, over = list[Minted](), False
    while not over:
        asked, over = len(numbers), done.is_set()
        minted.append(_minted(good(await replica.http.post("/token", data=form)), asked))
    return minted


def _minted(tokens: Json, asked: int) -> Minted:
    return Minted(read_unverified(tokens["access_token"])[1], asked)
