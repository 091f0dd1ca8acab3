"""A storm of revocations, from a process of its own: it takes no time from the proxies of the drill."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from multiprocessing import get_context
from secrets import token_hex
from time import monotonic
from typing import Final

ANSWER_SECONDS: Final = 30.0
OK: Final = 200
UNAVAILABLE: Final = 503


def storm(urls: Sequence[str], headers: Mapping[str, str], seconds: float) -> tuple[int, int]:
    """Revoke tokens that nobody has, over one connection to each URL; how many, and the latest position of the log."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_all, list(urls), dict(headers), seconds).result()


def _all(urls: Sequence[str], headers: Mapping[str, str], seconds: float) -> tuple[int, int]:
    with ThreadPoolExecutor(len(urls)) as threads:
        done = list(threads.map(lambda url: _one(url, headers, seconds), urls))
    return sum(count for count, _ in done), max(position for _, position in done)


def _one(url: str, headers: Mapping[str, str], seconds: float) -> tuple[int, int]:
    """One after the other; who is told to come again later does so at once, and is not counted."""
    count, position, end = 0, 0, monotonic() + seconds
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=ANSWER_SECONDS)) as connection:
        while monotonic() < end:
            body = json.dumps({"scope": "token", "id": token_hex(8)})
            connection.request("POST", "/admin/revocations", body, {**headers, "Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
            if answer.status == UNAVAILABLE:
                continue
            if answer.status != OK:
                raise RuntimeError(f"{answer.status} {said!r}")
            count += 1
            position = max(position, int(json.loads(said)["position"].rpartition(".")[2]))
    return count, position
