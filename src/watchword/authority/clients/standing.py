"""What an administrator does about a client's standing: a new secret, disable, enable."""

from sqlalchemy import update

from watchword.authority.authority import Authority
from watchword.authority.clients.clients import ClientChanged, check_not_own, client_changed
from watchword.authority.clients.registry import hash_secret, known_client, new_client_secret
from watchword.authority.http import Call
from watchword.authority.log.cut import cut_client
from watchword.authority.schema import clients
from watchword.errors import Conflict


async def renew_client_secret(authority: Authority, call: Call[None]) -> ClientChanged:
    """Give a client a new secret, shown this once: everything that it was given under the old one dies."""
    secret = new_client_secret()
    async with authority.administering() as connection:
        client = await known_client(connection, call.path("client"))
        if client.public:
            raise Conflict("a public client has no secret")
        await connection.execute(
            update(clients).where(clients.c.id == client.id).values(secret_hash=hash_secret(secret))
        )
        await cut_client(connection, client.id)
        return await client_changed(connection, call, "renew_client_secret", client.id, secret)


async def disable_client(authority: Authority, call: Call[None]) -> ClientChanged:
    """Disable a client: its sessions and tokens die, and it gets nothing until it is enabled."""
    async with authority.administering() as connection:
        client = await known_client(connection, call.path("client"))
        check_not_own(client)
        await connection.execute(update(clients).where(clients.c.id == client.id).values(disabled=1))
        await cut_client(connection, client.id)
        return await client_changed(connection, call, "disable_client", client.id)


async def enable_client(authority: Authority, call: Call[None]) -> ClientChanged:
    """Let a disabled client work again; what it was given before stays dead."""
    async with authority.administering() as connection:
        client = await known_client(connection, call.path("client"))
        await connection.execute(update(clients).where(clients.c.id == client.id).values(disabled=0))
        return await client_changed(connection, call, "enable_client", client.id)
