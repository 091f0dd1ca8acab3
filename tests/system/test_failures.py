"""What breaks in the field: the authority is killed, the guard hears nothing, the guard has never heard anything."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
from examples.processes import Process, address, connect, eventually, free_port
from examples.stage import Stage, Tokens, User, articles_of, bearer, told
from tests.system.settings import FAST

STALENESS = "5"
"""Seconds; long enough that a request right after a kill is decided on what is known."""


@contextmanager
def service_of(stage: Stage, issuer: str, **environ: str) -> Iterator[httpx2.Client]:
    """One more process of the example service."""
    process: Process = articles_of(stage.data, issuer, stage.secret, FAST | environ)
    with process, connect(process.url) as service:
        process.wait_until_ready("/health")
        yield service


@contextmanager
def without_authority(stage: Stage) -> Iterator[None]:
    """The authority is killed, and started again at the end."""
    stage.authority_process.kill()
    try:
        yield
    finally:
        stage.authority_process.start()
        stage.authority_process.wait_until_ready("/readyz")


@pytest.mark.parametrize("count", [1, 4, 7])
def test_what_was_acknowledged_holds_after_sigkill(stage: Stage, count: int) -> None:
    """Users are added and signed out, one after the other, until the process is killed in the midst of it."""
    acknowledged = list[tuple[User, Tokens]]()

    def work() -> None:
        while True:
            try:
                user = stage.add_user("editor")
                tokens = stage.sign_in(user)
                stage.administrator("POST", f"/users/{user.id}/sign-out")
            except httpx2.TransportError:
                return
            acknowledged.append((user, tokens))

    worker = threading.Thread(target=work)
    worker.start()
    assert eventually(lambda: len(acknowledged) >= count, 60, pause=0.001)
    with without_authority(stage):
        worker.join()
    for user, tokens in acknowledged:
        assert told(stage.first_refusal(tokens.access)[0]) == "401 signed_out"
        assert told(stage.try_refresh(tokens)) == "400 invalid_grant"
        assert told(stage.ask(stage.sign_in(user).access)) == "200"


def test_a_guard_goes_on_with_what_it_knows_and_then_refuses_until_it_knows_again(stage: Stage) -> None:
    """While the authority is away: decisions as before, then 503 once that is too old, then decisions again."""
    user = stage.add_user("editor")
    token, revoked = stage.sign_in(user).access, stage.sign_in(user)
    stage.administrator("DELETE", f"/sessions/{revoked.claims['sid']}")
    with service_of(stage, stage.issuer, ARTICLES_MAX_STALENESS=STALENESS) as service:

        def ask(text: str) -> httpx2.Response:
            return service.get("/me", headers=bearer(text))

        assert eventually(lambda: told(ask(revoked.access)) == "401 session_ended", 30)
        assert told(ask(token)) == "200"
        with without_authority(stage):
            assert told(ask(token)) == "200"
            assert told(ask(revoked.access)) == "401 session_ended"

            assert eventually(lambda: told(ask(token)) == "503 guard_stale", 30)
            assert int(ask(token).headers["retry-after"]) > 0
            assert told(ask(revoked.access)) == "401 session_ended"
            assert told(service.get("/me")) == "401 without an error code"
            assert told(service.get("/health")) == "200"
        assert eventually(lambda: told(ask(token)) == "200", 30)


def test_a_guard_that_has_never_reached_its_authority_refuses(stage: Stage) -> None:
    """It starts closed: 503 for every token, and only what is open to anyone is open."""
    token = stage.sign_in(stage.add_user("editor")).access
    with service_of(stage, address(free_port())) as service:
        answer = service.get("/me", headers=bearer(token))
        assert told(answer) == "503 guard_not_ready"
        assert int(answer.headers["retry-after"]) > 0
        assert told(service.get("/me")) == "401 without an error code"
        assert told(service.get("/health")) == "200"


def test_a_guard_whose_credentials_are_wrong_refuses(stage: Stage) -> None:
    """A follower that the authority does not know learns nothing, so it lets nobody in."""
    token = stage.sign_in(stage.add_user("editor")).access
    process = articles_of(stage.data, stage.issuer, "wws_not-the-secret", FAST)
    with process, connect(process.url) as service:
        process.wait_until_ready("/health")
        assert told(service.get("/me", headers=bearer(token))) == "503 guard_not_ready"
