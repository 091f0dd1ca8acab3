"""Signing: RSA beside the loop, everything else at once, and each gets what it asked for."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from functools import partial

import pytest

from watchword.authority.signing import Signing
from watchword.core.keys import Key

pytestmark = pytest.mark.anyio


@pytest.fixture
async def signing() -> AsyncIterator[Signing]:
    """Threads that are ended."""
    signing = Signing()
    yield signing
    signing.close()


@pytest.fixture
def rsa(keys: Mapping[str, Key]) -> Key:
    """A key that takes long."""
    return keys["RS256"]


@pytest.mark.parametrize(
    ("algorithm", "beside"), [("RS256", True), ("PS512", True), ("ES256", False), ("Ed25519", False)]
)
async def test_rsa_is_signed_in_a_thread(
    signing: Signing, keys: Mapping[str, Key], algorithm: str, beside: bool
) -> None:
    """The loop goes on while RSA is computed; the others take less than the way there and back."""
    there = await signing.sign(keys[algorithm], threading.get_ident)
    assert (there != threading.get_ident()) == beside


async def test_each_gets_its_own(signing: Signing, rsa: Key) -> None:
    """Hundreds at once, in whatever order the threads are through."""
    made = await asyncio.gather(*(signing.sign(rsa, partial(int, number)) for number in range(500)))
    assert made == list(range(500))


async def test_what_goes_wrong_is_raised_where_it_was_asked(signing: Signing, rsa: Key) -> None:
    """And nothing else is the worse for it."""

    def fail() -> None:
        raise ValueError("no such claim")

    with pytest.raises(ValueError, match="no such claim"):
        await signing.sign(rsa, fail)
    assert await signing.sign(rsa, lambda: "the next") == "the next"


async def test_who_leaves_disturbs_nobody(signing: Signing, rsa: Key) -> None:
    """A client that hangs up meanwhile has its answer dropped, and the others theirs."""
    held = threading.Event()
    gone = signing.sign(rsa, held.wait)
    gone.cancel()
    held.set()
    assert await signing.sign(rsa, lambda: "another") == "another"
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_nothing_is_left_running(rsa: Key) -> None:
    """Whoever closes waits for what was asked, and the threads are gone."""
    before, signing, made = threading.active_count(), Signing(), list[str]()
    asked = signing.sign(rsa, partial(made.append, "done"))
    assert threading.active_count() > before
    signing.close()
    assert (made, threading.active_count()) == (["done"], before)
    await asked


async def test_without_rsa_there_is_no_thread(signing: Signing, keys: Mapping[str, Key]) -> None:
    """They begin with the first token that needs them."""
    before = threading.active_count()
    await signing.sign(keys["Ed25519"], lambda: None)
    assert threading.active_count() == before
