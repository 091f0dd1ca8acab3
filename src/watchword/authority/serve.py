"""The server process: opens the authority, listens, and ends cleanly at a signal."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.loops.auto import auto_loop_factory

from watchword.authority.alarm import AlarmWatch
from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.bootstrap import FirstAdministrator
from watchword.authority.garbage import keep_what_is_there
from watchword.authority.housekeeping import Housekeeper
from watchword.authority.settings import Settings
from watchword.authority.whole_writes import WholeWrites

new_loop: Final = auto_loop_factory()
"""Makes the event loop to serve on: uvloop's where that is installed."""
_log: Final = logging.getLogger("watchword.authority")


class _Server(uvicorn.Server):
    """uvicorn's server, but held polls are answered at the signal; else the end would wait for them."""

    def __init__(self, config: uvicorn.Config, authority: Authority) -> None:
        super().__init__(config)
        self._authority = authority

    def handle_exit(self, sig: int, frame: object) -> None:  # noqa: ARG002 - the signature of a handler
        """Answer all who wait, then end; at a second Ctrl-C without waiting for anybody.

        uvicorn's own would raise the signal again at the end, and so cancel us while we close the database.
        """
        asyncio.get_running_loop().call_soon_threadsafe(self._authority.reader.release)
        self.force_exit |= self.should_exit and sig == signal.SIGINT
        self.should_exit = True


async def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM. The first start tells the first administrator's password, once."""
    authority = await Authority.open(settings, may_rename=True)
    settings = authority.settings
    housekeeper, alarm = Housekeeper(authority), AlarmWatch(authority)
    try:
        if authority.first_administrator is not None:
            tell_first_administrator(settings, authority.first_administrator)
        config = uvicorn.Config(
            build_app(authority),
            host=settings.host,
            port=settings.port,
            http=WholeWrites,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.forwarded_allow_ips),
            forwarded_allow_ips=settings.forwarded_allow_ips or None,
            timeout_graceful_shutdown=5,
        )
        keep_what_is_there()
        _log.info("the authority %s listens on %s:%s", settings.issuer, settings.host, settings.port)
        await _Server(config, authority).serve()
    finally:
        await alarm.stop()
        await housekeeper.stop()
        await authority.close()


def tell_first_administrator(settings: Settings, first: FirstAdministrator, *, file: bool = False) -> Path | None:
    """To the terminal, or to a file of mode 0600 where there is none or a ``file`` is wanted; never to a log.

    Gives the file's path, or None.
    """
    lines = f"user name: {first.name}\none-time password: {first.password}\n"
    if sys.stdout.isatty() and not file:
        sys.stdout.write(f"\nThe first administrator, shown once; change the password at the first sign-in:\n{lines}\n")
        sys.stdout.flush()
        return None
    path = settings.beside(".first-administrator")
    path.unlink(missing_ok=True)  # what lies there may be open to others; only a new file is surely ours
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
        target.write(lines)
    _log.warning("the first administrator's one-time password is in %s; delete it once it is used", path)
    return path
