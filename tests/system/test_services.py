"""Services among themselves: their own tokens, and data that one signs for another."""

from collections.abc import Iterator

import pytest
from examples.processes import eventually
from examples.stage import Stage, told

from watchword import Guard, Refused
from watchword.client import AuthorityError, ServiceClient


@pytest.fixture
def sender(stage: Stage) -> ServiceClient:
    """A service that may call the articles and send them data."""
    grants, audiences = ["client_credentials", "data"], ["articles", stage.issuer]
    client, secret = stage.add_client(grants=grants, audiences=audiences)
    return ServiceClient(stage.issuer, audience="articles", client_id=client, client_secret=secret)


@pytest.fixture
def guard(stage: Stage) -> Iterator[Guard]:
    """The guard of another service, which follows the authority from here."""
    guard = Guard(stage.issuer, audience="articles", client_id="articles", client_secret=stage.secret)
    guard.start()
    assert eventually(lambda: guard.status().fresh, 30)
    yield guard
    guard.stop()


def _refusal(guard: Guard, data_token: str) -> str | None:
    try:
        guard.data(data_token)
    except Refused as refused:
        return refused.code
    return None


def test_a_service_calls_another_with_a_token_of_its_own(stage: Stage, sender: ServiceClient) -> None:
    """Its subject is the client itself, and it is kept as long as it lasts."""
    answer = stage.articles.get("/me", headers=sender.bearer())
    assert answer.status_code == 200
    assert answer.json()["subject"] == answer.json()["client"]
    assert sender.token() == sender.token()


def test_data_travels_signed(stage: Stage, sender: ServiceClient, guard: Guard) -> None:
    """The other service knows that nobody changed it, and who sent it."""
    data = guard.data(sender.data_token("articles", {"order": 1729}))
    assert dict(data.content) == {"order": 1729}
    assert data.client == stage.articles.get("/me", headers=sender.bearer()).json()["subject"]


def test_data_for_one_service_is_refused_by_another(stage: Stage, sender: ServiceClient) -> None:
    """A data token has one audience."""
    other = Guard(stage.issuer, audience="elsewhere", client_id="articles", client_secret=stage.secret)
    other.start()
    try:
        assert eventually(lambda: other.status().fresh, 30)
        assert _refusal(other, sender.data_token("articles", {})) == "wrong_audience"
    finally:
        other.stop()


def test_an_access_token_is_no_data_token(sender: ServiceClient, guard: Guard) -> None:
    """Each kind is good for its own purpose only."""
    assert _refusal(guard, sender.token()) == "wrong_token_type"


def test_the_data_of_a_revoked_client_is_refused(stage: Stage, sender: ServiceClient, guard: Guard) -> None:
    """A changed secret cuts off data tokens too, and the old secret gets no new ones."""
    token = sender.data_token("articles", {"order": 1})
    client = guard.data(token).client
    stage.administrator("POST", f"/clients/{client}/secret")
    assert eventually(lambda: _refusal(guard, token) == "client_revoked", 30)
    with pytest.raises(AuthorityError, match="invalid_client"):
        sender.data_token("articles", {"order": 2})


def test_only_a_follower_may_read_the_feed(stage: Stage) -> None:
    """What changed about whom is nobody else's business."""
    assert stage.authority.get("/revocations").status_code == 401
    client = stage.add_client(grants=["client_credentials"], audiences=["articles"])
    assert told(stage.authority.get("/revocations", auth=client)) == "400 unauthorized_client"
