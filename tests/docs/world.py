"""What the tutorial leaves behind, made quickly: where the how-to pages begin."""

import asyncio
from pathlib import Path
from typing import Any, Final

import httpx2

from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.operator import operator_token
from watchword.authority.settings import Settings

PASSWORD: Final = "correct horse battery staple"
QUICK: Final = {"algorithm": "ES256", "password_memory_kib": 8, "password_rounds": 1}
"""Settings that change how dear things are and nothing else."""


def prepare(folder: Path, issuer: str) -> str:
    """Make the tutorial's database in a folder; the secret of the client ``orders``."""
    return asyncio.run(_prepare(folder, issuer))


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
