"""The table of routes: the server's table of contents, from which wall, router and OpenAPI document are made."""

from typing import Any, Final

from watchword.authority import health, metadata
from watchword.authority.accounts import account, login
from watchword.authority.clients import data_tokens, grants
from watchword.authority.http import Route
from watchword.authority.keys import jwks
from watchword.authority.log import revoke
from watchword.authority.mint import Tokens
from watchword.guard.rules import anyone, signed_in

Document = dict[str, Any]

ROUTES: Final[tuple[Route, ...]] = (
    # Tokens
    Route("POST", "/login", anyone, login.sign_in, takes=login.SignIn, gives=Tokens),
    Route("POST", "/token", anyone, grants.token, takes=grants.TokenRequest, gives=Tokens),
    Route("POST", "/revoke", anyone, revoke.revoke_token, takes=revoke.RevokeRequest, gives=Document),
    Route("POST", "/logout", signed_in, account.log_out, takes=account.SignOut),
    Route(
        "POST",
        "/data-tokens",
        signed_in,
        data_tokens.sign_data,
        takes=data_tokens.DataRequest,
        gives=data_tokens.DataToken,
    ),
    # The caller's own account
    Route("GET", "/account", signed_in, account.me, gives=account.Me),
    Route("POST", "/account/password", signed_in, login.change_password, takes=login.PasswordChange, gives=Tokens),
    Route("GET", "/account/sessions", signed_in, account.my_sessions, gives=account.SessionList),
    Route("DELETE", "/account/sessions", signed_in, account.end_my_other_sessions),
    Route("DELETE", "/account/sessions/{session}", signed_in, account.end_my_session),
    # For everybody's eyes
    Route("GET", "/.well-known/jwks.json", anyone, jwks.jwks, gives=Document),
    Route("GET", "/.well-known/oauth-authorization-server", anyone, metadata.metadata, gives=Document),
    Route("GET", "/livez", anyone, health.live, gives=Document),
    Route("GET", "/readyz", anyone, health.ready, gives=Document),
)
