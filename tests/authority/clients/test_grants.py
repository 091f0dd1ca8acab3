"""The token endpoint, as OAuth 2.0 wants it."""

from typing import Any

import msgspec
import pytest
from httpx2 import AsyncClient, BasicAuth
from tests.authority.helpers import ISSUER, Headers, code, good, make_client

from watchword.authority.authority import Authority
from watchword.core.keyset import KeySet
from watchword.core.verifier import Verifier

pytestmark = pytest.mark.both_databases

Client = tuple[str, str | None]


@pytest.fixture
async def service(http: AsyncClient, operator: Headers) -> Client:
    """A service with roles of its own that may call orders."""
    audiences = ["orders"]
    return await make_client(
        http,
        operator,
        "billing",
        grants=["client_credentials"],
        audiences=audiences,
        roles=["reader"],
        scope="read list",
    )


def _form(client: Client, **more: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": client[0], "client_secret": client[1] or "", **more}


async def test_a_client_gets_a_token_for_itself(http: AsyncClient, service: Client) -> None:
    """Its subject is the client, it has the client's roles and scope, and no refresh token comes with it."""
    answer = good(await http.post("/token", data=_form(service)))
    keys = KeySet.from_jwks((await http.get("/.well-known/jwks.json")).content)
    caller = Verifier(ISSUER, "orders", keys).verify(answer["access_token"])
    assert (caller.subject, caller.client, caller.session) == ("billing", "billing", None)
    assert caller.roles == {"reader"}
    assert caller.scopes == {"read", "list"}
    assert answer.keys() == {"access_token", "token_type", "expires_in", "scope"}


async def test_basic_credentials_do_as_well(http: AsyncClient, service: Client) -> None:
    """HTTP Basic is what RFC 6749 wants every server to take."""
    auth = BasicAuth(service[0], service[1] or "")
    good(await http.post("/token", data={"grant_type": "client_credentials"}, auth=auth))


async def test_a_client_may_ask_for_less_scope_and_not_for_more(http: AsyncClient, service: Client) -> None:
    """The scope of the answer is the one that was granted."""
    assert good(await http.post("/token", data=_form(service, scope="read")))["scope"] == "read"
    response = await http.post("/token", data=_form(service, scope="read write"))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_secret": None}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400, "unauthorized_client"),
        ({"audience": "mail"}, 400, "invalid_target"),
        ({"unknown": "is ignored"}, 200, None),
    ],
)
async def test_errors_are_those_of_the_standard(
    http: AsyncClient, service: Client, change: dict[str, Any], status: int, error: str | None
) -> None:
    """RFC 6749 section 5.2, beside our own code."""
    form = {name: value for name, value in (_form(service) | change).items() if value is not None}
    response = await http.post("/token", data=form)
    answer = response.json()
    assert (response.status_code, answer.get("error")) == (status, error)
    if error is not None:
        assert answer.keys() >= {"code", "title", "status", "error_description"}
        assert response.headers["content-type"] == "application/json"
        assert ("www-authenticate" in response.headers) is (status == 401)


async def test_a_parameter_may_not_be_repeated(http: AsyncClient, service: Client) -> None:
    """Of two values one would be chosen, and another program would choose the other."""
    body = f"grant_type=client_credentials&client_id={service[0]}&client_secret={service[1]}&client_id=x"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert code(await http.post("/token", content=body, headers=headers)) == "invalid_request"


async def test_credentials_in_two_places_are_refused(http: AsyncClient, service: Client) -> None:
    """RFC 6749 section 2.3: not more than one method in a request."""
    auth = BasicAuth(service[0], service[1] or "")
    assert code(await http.post("/token", data=_form(service), auth=auth)) == "invalid_request"


async def test_a_changed_secret_ends_everything_of_the_client(
    http: AsyncClient, operator: Headers, authority: Authority, service: Client
) -> None:
    """The old secret and the tokens that it brought are dead; the new ones live."""
    old = good(await http.post("/token", data=_form(service)))["access_token"]
    changed = good(await http.post(f"/admin/clients/{service[0]}/secret", headers=operator))
    assert code(await http.post("/token", data=_form(service))) == "invalid_client"
    new = good(await http.post("/token", data=_form((service[0], changed["client_secret"]))))["access_token"]
    known = authority.source.known
    assert known is not None
    verdicts = []
    for token in (old, new):
        caller = Verifier(ISSUER, "orders", known.knowledge.keys).verify(token)
        refusal = known.knowledge.judge(
            caller.position,
            client="billing",
            roles=caller.roles,
            subject=caller.subject,
            session="",
            token=caller.token_id or "",
        )
        verdicts.append(refusal and refusal.code)
    assert verdicts == ["client_revoked", None]


async def test_no_token_lives_longer_than_the_limit(http: AsyncClient, operator: Headers, authority: Authority) -> None:
    """A client's own lifetime gives way to a limit that was lowered since."""
    client = await make_client(http, operator, "slow", grants=["client_credentials"], lifetime=3600)
    authority.settings = msgspec.structs.replace(authority.settings, max_lifetime=300)
    assert good(await http.post("/token", data=_form(client)))["expires_in"] == 300


async def test_a_public_client_has_no_token_of_its_own(http: AsyncClient) -> None:
    """What anybody can name cannot act for itself."""
    form = {"grant_type": "client_credentials", "client_id": "watchword"}
    assert code(await http.post("/token", data=form)) == "unauthorized_client"
