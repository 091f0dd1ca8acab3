"""The server process: opens the authority, listens, and ends cleanly at a signal."""

import asyncio
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import uvicorn

from watchword.authority.accounts import throttle
from watchword.authority.app import build_app
from watchword.authority.authority import MAX_LEEWAY, Authority
from watchword.authority.bootstrap import FirstAdministrator
from watchword.authority.log.head import raise_floor
from watchword.authority.sessions.sessions import forget_over
from watchword.authority.settings import Settings
from watchword.errors import Refused

HOUSEKEEPING_SECONDS: Final = 30.0
_FLOOR_MARGIN: Final = MAX_LEEWAY + 60.0
_log: Final = logging.getLogger("watchword.authority")


class _Server(uvicorn.Server):
    """uvicorn's server, but held polls are answered at the signal; else the end would wait for them."""

    def __init__(self, config: uvicorn.Config, authority: Authority) -> None:
        super().__init__(config)
        self._authority = authority

    def handle_exit(self, sig: int, frame: object) -> None:
        """Answer all who wait, then end as uvicorn does."""
        asyncio.get_running_loop().call_soon_threadsafe(self._authority.reader.release)
        super().handle_exit(sig, frame)  # type: ignore[arg-type]


async def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM. The first start tells the first administrator's password, once."""
    authority = await Authority.open(settings)
    housekeeping = asyncio.create_task(_keep_house(authority))
    try:
        if authority.first_administrator is not None:
            tell_first_administrator(settings, authority.first_administrator)
        config = uvicorn.Config(
            build_app(authority),
            host=settings.host,
            port=settings.port,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.forwarded_allow_ips),
            forwarded_allow_ips=settings.forwarded_allow_ips or None,
            timeout_graceful_shutdown=5,
        )
        _log.info("the authority %s listens on %s:%s", settings.issuer, settings.host, settings.port)
        await _Server(config, authority).serve()
    finally:
        housekeeping.cancel()
        with suppress(asyncio.CancelledError):
            await housekeeping
        await authority.close()


def tell_first_administrator(settings: Settings, first: FirstAdministrator) -> None:
    """To the terminal, or to a file of mode 0600 where there is none; never to a log."""
    lines = f"user name: {first.name}\none-time password: {first.password}\n"
    if sys.stdout.isatty():
        sys.stdout.write(f"\nThe first administrator, shown once; change the password at the first sign-in:\n{lines}\n")
        sys.stdout.flush()
        return
    path: Path = settings.database_path.with_suffix(".first-administrator")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(lines)
    _log.warning("the first administrator's one-time password is in %s; delete it once it is used", path)


async def _keep_house(authority: Authority) -> None:
    while True:
        with suppress(Refused):
            async with authority.database.writing() as connection:
                await raise_floor(connection, _FLOOR_MARGIN)
                await throttle.forget_old(connection)
                await forget_over(connection, authority.settings.session_days * 86400.0)
        await asyncio.sleep(HOUSEKEEPING_SECONDS)
