"""What following costs the requests of a service: verifying with the follower's thread, and without."""

import time
from typing import Final

from bench.live.command import wait_for
from bench.live.stand import AUDIENCE, Asker, Stand
from bench.live.wire import basic, request
from bench.measure import Work, interleave
from bench.table import Row, Section
from watchword import Guard
from watchword.guard.guard import START_TIME

_CLIENT: Final = "in-process"
_TOKENS: Final = 256
_PASSES: Final = 60
_SETTLE: Final = 0.02  # seconds: the follower's first question is answered, and its second one is held


def measure(authority: Stand, *, quick: bool) -> Section:
    """One guard that has a follower every other round. Elapsed time: waiting for another thread counts."""
    secret = authority.add_client(_CLIENT, "feed", "client_credentials")
    tokens = wait_for(_tokens(authority, secret))
    guard = Guard(authority.issuer, audience=AUDIENCE, client_id=_CLIENT, client_secret=secret)
    guard.start()
    guard._source.wait(START_TIME)
    try:
        work = {"following": _with(guard, tokens, follow=True), "alone": _with(guard, tokens, follow=False)}
        samples = interleave(work, rounds=3 if quick else 41)
    finally:
        guard.stop()
    rows = [
        Row("Guard.verify, a token seen before, nothing follows", samples.cost("alone"), "µs"),
        Row("the same while the guard follows the feed", samples.cost("following"), "µs"),
        Row("following against not", samples.ratio("following", "alone"), "x", 1.05),
    ]
    return Section("request-path", "The way of a request, with a follower and without", rows)


async def _tokens(authority: Stand, secret: str) -> list[str]:
    form = {"grant_type": "client_credentials", "audience": AUDIENCE}
    ask = request("POST", "/token", headers=basic(_CLIENT, secret), form=form)
    async with Asker(authority.url) as asker:
        connection = await asker.open()
        return [(await connection.ask(ask)).json["access_token"] for _ in range(_TOKENS)]


def _with(guard: Guard, tokens: list[str], *, follow: bool) -> Work:
    def batch() -> float:
        if follow:
            guard.start()
        else:
            guard.stop()
        time.sleep(_SETTLE)
        begun = time.perf_counter_ns()
        for _ in range(_PASSES):
            for token in tokens:
                guard.verify(token)
        return (time.perf_counter_ns() - begun) / _PASSES / len(tokens)

    return batch
