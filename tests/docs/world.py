"""What the tutorial leaves behind, made quickly: where the how-to pages begin."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx2

from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.operator import operator_token
from watchword.authority.settings import Settings

PASSWORD: Final = "correct horse battery staple"
FACTS: Final = (
    "SELECT name, disabled, must_change FROM users WHERE name != 'admin'",
    "SELECT users.name, user_roles.role FROM user_roles JOIN users ON users.id = user_roles.user",
    "SELECT name FROM roles",
    "SELECT name FROM audiences",
    "SELECT id, grants, secret_hash IS NULL, disabled FROM clients",
    "SELECT client, audience FROM client_audiences",
)
QUICK: Final = {"algorithm": "ES256", "password_memory_kib": 8, "password_rounds": 1}
"""Settings that change how dear things are and nothing else."""


def prepare(folder: Path, issuer: str) -> str:
    """Make the tutorial's database in a folder; the secret of the client ``orders``."""
    return asyncio.run(_prepare(folder, issuer))


def facts(folder: Path) -> list[list[tuple[object, ...]]]:
    """Who is there and what they may, in the database of a folder; ids, secrets and times left out."""
    with closing(sqlite3.connect(folder / "watchword.db")) as connection:
        return [sorted(connection.execute(query)) for query in FACTS]


async def _prepare(folder: Path, issuer: str) -> str:
    database = f"sqlite:///{folder / 'watchword.db'}"
    authority = await Authority.open(Settings(issuer=issuer, database=database, **QUICK))  # type: ignore[arg-type]
    try:
        headers = {"Authorization": f"Bearer {await operator_token(authority)}"}
        transport = httpx2.ASGITransport(build_app(authority))
        async with httpx2.AsyncClient(transport=transport, base_url=issuer, headers=headers) as client:

            async def add(what: str, **members: object) -> dict[str, Any]:
                answer = await client.post(f"/admin/{what}", json=members)
                assert answer.status_code == 201, answer.text
                return dict(answer.json())

            await add("roles", name="editor")
            await add("audiences", name="orders")
            await add("users", username="ada", password=PASSWORD, roles=["editor"])
            await add("clients", id="web", public=True, grants=["login"], audiences=["orders", issuer])
            service = await add("clients", id="orders", grants=["feed"], audiences=[])
            return str(service["client_secret"])
    finally:
        await authority.close()
