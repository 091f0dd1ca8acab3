"""Passwords: hashed with Argon2id, off the event loop, in a pool that cannot be flooded."""

import asyncio
import os
import secrets
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, final

from argon2 import PasswordHasher as Argon2
from argon2.exceptions import InvalidHashError, VerificationError

from watchword.authority.settings import Settings
from watchword.errors import Busy, InvalidField

MAX_LENGTH: Final = 1024
_NICENESS: Final = 10  # more than the process has, of 19 at most
_Result = TypeVar("_Result")


@final
class PasswordHasher:
    """Hashes as many passwords at once as there are processors; a few more may wait, the rest get 429.

    Each hash takes tens of milliseconds and megabytes by design; without a bound, sign-ins would eat the machine.
    """

    def __init__(self, settings: Settings) -> None:
        self._argon2 = Argon2(settings.password_rounds, settings.password_memory_kib, 1)
        self._min_length = settings.password_min_length
        workers = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="password", initializer=_stand_back)
        self._places = workers + settings.password_queue
        self._taken = 0
        # An unknown user costs what a known one does: the password is held against this.
        self._nobody = self._argon2.hash(secrets.token_urlsafe(32))

    def check_new(self, password: str, field: str) -> str:
        """The password as it will be hashed, if it may be one; `InvalidField` otherwise."""
        text = normal(password)
        if not self._min_length <= len(text) <= MAX_LENGTH:
            reason = f"a password has {self._min_length} to {MAX_LENGTH} characters"
            raise InvalidField(reason, field=field, reason=reason)
        return text

    async def hash(self, password: str) -> str:
        """Hash a new password; `Busy` when too many wait."""
        return await self._run(lambda: self._argon2.hash(normal(password)))

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether the password is the one that was hashed; None stands for a user who does not exist."""

        def check() -> bool:
            try:
                self._argon2.verify(hashed or self._nobody, normal(password))
            except (VerificationError, InvalidHashError):
                return False
            return hashed is not None

        return await self._run(check)

    def close(self) -> None:
        """End the pool once what runs in it is done."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        if self._taken >= self._places:
            raise Busy("the queue of the password pool is full", retry_after=1)
        self._taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._taken -= 1


def _stand_back() -> None:
    """Let whatever else the process does go before hashes: on Linux, each thread has a niceness of its own."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS))


def one_time_password() -> str:
    """A random password to hand over once: 24 characters, 144 bits."""
    return secrets.token_urlsafe(18)


def normal(password: str) -> str:
    """A password as it is hashed."""
    # One keyboard sends é as one code point, another as two: both mean the same password (NIST SP 800-63B, 3.1.1.2).
    return unicodedata.normalize("NFKC", password)
