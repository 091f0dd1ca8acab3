"""Data tokens: signed for one service, and good for nothing else."""

import pytest
from httpx2 import AsyncClient
from tests.authority.helpers import ISSUER, Headers, account, bearer, code, good, make_client, make_user, sign_in

from watchword.authority.authority import Authority
from watchword.core.verifier import Verifier
from watchword.errors import WrongAudience, WrongType


@pytest.fixture
async def service(http: AsyncClient, operator: Headers) -> Headers:
    """The own token of a service that may have data signed for orders."""
    grants = ["client_credentials", "data"]
    client, secret = await make_client(http, operator, "billing", grants=grants, audiences=["orders", ISSUER])
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret, "audience": ISSUER}
    return bearer(good(await http.post("/token", data=form)))


def _verifier(authority: Authority, audience: str) -> Verifier:
    known = authority.source.known
    assert known is not None
    return Verifier(ISSUER, audience, known.knowledge.keys)


async def test_data_arrives_as_it_was_given(http: AsyncClient, authority: Authority, service: Headers) -> None:
    """The receiver learns who sent it and reads it; another service does not."""
    body = {"audience": "orders", "data": {"invoice": 7, "lines": [1, 2.5, "é"]}}
    token = good(await http.post("/data-tokens", json=body, headers=service))["data_token"]
    data = _verifier(authority, "orders").verify_data(token)
    assert (data.client, data.content) == ("billing", body["data"])
    with pytest.raises(WrongAudience):
        _verifier(authority, "mail").verify_data(token)


async def test_a_data_token_opens_nothing(http: AsyncClient, authority: Authority, service: Headers) -> None:
    """It is never accepted as an access token, nor an access token as data."""
    body = {"audience": ISSUER, "data": {}}
    token = good(await http.post("/data-tokens", json=body, headers=service))["data_token"]
    assert await account(http, token) == "wrong_token_type"
    with pytest.raises(WrongType):
        _verifier(authority, ISSUER).verify_data(service["Authorization"].removeprefix("Bearer "))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"audience": "mail", "data": {}}, "invalid_target"),
        ({"audience": "orders", "data": {"x": "y" * 5000}}, "invalid_field"),
        ({"audience": "orders", "data": "text"}, "invalid_field"),
        ({"audience": "orders"}, "invalid_field"),
    ],
)
async def test_what_cannot_be_signed_is_refused(
    http: AsyncClient, service: Headers, body: dict[str, object], expected: str
) -> None:
    """A service that is not the client's, more than 4 KiB, or something other than an object."""
    assert code(await http.post("/data-tokens", json=body, headers=service)) == expected


async def test_users_sign_no_data(http: AsyncClient, operator: Headers) -> None:
    """Only a client's own token may; a user's token, even through the same client, is not one."""
    await make_user(http, operator, "ada")
    tokens = await sign_in(http)
    body = {"audience": ISSUER, "data": {}}
    assert code(await http.post("/data-tokens", json=body, headers=bearer(tokens))) == "not_permitted"


async def test_a_client_needs_the_grant(http: AsyncClient, operator: Headers) -> None:
    """Least privilege: a service that signs no data has no use for it."""
    client, secret = await make_client(http, operator, "x", grants=["client_credentials"], audiences=[ISSUER])
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
    headers = bearer(good(await http.post("/token", data=form)))
    body = {"audience": ISSUER, "data": {}}
    assert code(await http.post("/data-tokens", json=body, headers=headers)) == "unauthorized_client"
