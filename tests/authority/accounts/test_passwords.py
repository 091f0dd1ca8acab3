"""Hashing passwords."""

import asyncio
import os
import sys
import threading

import pytest

from watchword.authority.accounts.passwords import PasswordHasher, one_time_password
from watchword.authority.settings import Settings
from watchword.errors import Busy, InvalidField

QUICK = Settings(password_memory_kib=8, password_rounds=1, password_queue=1)


@pytest.fixture
def hasher() -> PasswordHasher:
    """A hasher that costs next to nothing."""
    return PasswordHasher(QUICK)


async def test_the_right_password_verifies_and_others_do_not(hasher: PasswordHasher) -> None:
    """Two spellings of one accented letter are the same password."""
    hashed = await hasher.hash("caf\u00e9 caf\u00e9 caf\u00e9")
    assert await hasher.verify(hashed, "cafe\u0301 cafe\u0301 cafe\u0301")
    assert not await hasher.verify(hashed, "cafe cafe cafe")
    assert "caf" not in hashed


async def test_nobody_has_a_password(hasher: PasswordHasher) -> None:
    """An unknown user is verified against something, and never with success."""
    assert not await hasher.verify(None, "")
    assert not await hasher.verify("not a hash", "x")


@pytest.mark.parametrize("password", ["short", "x" * 1025, "\u0301" * 11])
def test_a_new_password_has_a_length(hasher: PasswordHasher, password: str) -> None:
    """Too short and too long are refused, and the refusal names the field without the password."""
    with pytest.raises(InvalidField) as refusal:
        hasher.check_new(password, "new_password")
    assert refusal.value.public["field"] == "new_password"
    assert password not in str(refusal.value)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no niceness of its own")
async def test_requests_go_before_hashes(hasher: PasswordHasher) -> None:
    """The threads that hash are nicer than the one that answers requests."""

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert await hasher._run(niceness) == min(19, niceness() + 10)


async def test_the_excess_is_told_to_come_again(hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all processors hash and the queue is full, the next sign-in gets 429 with a time, and is not queued."""
    gate = threading.Event()
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    hasher = PasswordHasher(QUICK)
    waiting = [asyncio.create_task(hasher._run(gate.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Busy) as refusal:
        await hasher.verify(None, "x")
    assert refusal.value.retry_after == 1
    gate.set()
    await asyncio.gather(*waiting)
    assert not await hasher.verify(None, "x")
    hasher.close()


def test_one_time_passwords_are_long_and_never_the_same() -> None:
    """They are long enough to be a password and come from the system's randomness."""
    made = {one_time_password() for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= 24
