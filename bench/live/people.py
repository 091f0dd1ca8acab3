"""People who sign in at an authority under measurement."""

import secrets
from typing import Any, Final

from bench.live.stand import AUDIENCE, Stand
from bench.live.wire import Connection, request

PUBLIC: Final = "web"
"""The client that they use."""


def settle(authority: Stand, count: int, *, audience: str = AUDIENCE) -> list[bytes]:
    """Make a public client, and people; for each the question that signs them in, for an audience."""
    authority.add_client(PUBLIC, "login", public=True)
    asked = []
    for number in range(count):
        name, password = f"user-{number}", secrets.token_urlsafe(18)
        authority.administer("POST", "/users", username=name, password=password)
        members = {"username": name, "password": password, "client_id": PUBLIC, "audience": audience}
        asked.append(request("POST", "/login", members=members))
    return asked


async def session(connection: Connection, sign_in: bytes) -> dict[str, Any]:
    """Sign in: the tokens."""
    return (await connection.ask(sign_in)).json
