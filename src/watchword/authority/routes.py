"""The table of routes: the server's table of contents, from which wall, router and OpenAPI document are made."""

from typing import Any, Final

from watchword.authority import health, metadata, status
from watchword.authority.accounts import account, login, roles, users
from watchword.authority.accounts import standing as user_standing
from watchword.authority.accounts.directory import ADMINISTRATOR
from watchword.authority.audit import lines
from watchword.authority.changes import Changed
from watchword.authority.clients import audiences, clients, data_tokens, grants
from watchword.authority.clients import standing as client_standing
from watchword.authority.http import Endpoint, Route
from watchword.authority.keys import jwks, rotation
from watchword.authority.log import foreign_revocations, receipts, revocations, revoke
from watchword.authority.mint import Tokens
from watchword.authority.paging import Paged, PageOf
from watchword.authority.sessions import living
from watchword.guard.rules import anyone, role, signed_in

Document = dict[str, Any]


def _admin(
    method: str, path: str, endpoint: Endpoint, *, takes: type[Any] | None = None, gives: Any, status: int = 200
) -> Route:
    return Route(method, f"/admin{path}", role(ADMINISTRATOR), endpoint, takes=takes, gives=gives, status=status)


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
    # Administration: users
    _admin("GET", "/users", users.list_users, takes=users.UserQuery, gives=PageOf[users.UserShown]),
    _admin("POST", "/users", users.add_user, takes=users.NewUser, gives=users.UserChanged, status=201),
    _admin("GET", "/users/{user}", users.show_user, gives=users.UserShown),
    _admin("PATCH", "/users/{user}", users.change_user, takes=users.UserChange, gives=users.UserChanged),
    _admin("DELETE", "/users/{user}", users.delete_user, gives=Changed),
    _admin(
        "PUT",
        "/users/{user}/roles",
        user_standing.set_user_roles,
        takes=user_standing.UserRoles,
        gives=users.UserChanged,
    ),
    _admin("POST", "/users/{user}/disable", user_standing.disable_user, gives=users.UserChanged),
    _admin("POST", "/users/{user}/enable", user_standing.enable_user, gives=users.UserChanged),
    _admin("POST", "/users/{user}/sign-out", user_standing.sign_out_user, gives=Changed),
    _admin(
        "POST",
        "/users/{user}/reset-password",
        user_standing.reset_password,
        takes=user_standing.PasswordReset,
        gives=users.UserChanged,
    ),
    # Administration: roles
    _admin("GET", "/roles", roles.list_roles, takes=Paged, gives=PageOf[roles.RoleShown]),
    _admin("POST", "/roles", roles.add_role, takes=roles.NewRole, gives=roles.RoleChanged, status=201),
    _admin("POST", "/roles/{role}/rename", roles.rename_role, takes=roles.RoleRename, gives=roles.RoleChanged),
    _admin("DELETE", "/roles/{role}", roles.delete_role, gives=Changed),
    # Administration: audiences and clients
    _admin("GET", "/audiences", audiences.list_audiences, takes=Paged, gives=PageOf[audiences.AudienceShown]),
    _admin(
        "POST",
        "/audiences",
        audiences.add_audience,
        takes=audiences.AudienceNamed,
        gives=audiences.AudienceChanged,
        status=201,
    ),
    _admin("DELETE", "/audiences", audiences.delete_audience, takes=audiences.AudienceNamed, gives=Changed),
    _admin("GET", "/clients", clients.list_clients, takes=Paged, gives=PageOf[clients.ClientShown]),
    _admin("POST", "/clients", clients.add_client, takes=clients.NewClient, gives=clients.ClientChanged, status=201),
    _admin("GET", "/clients/{client}", clients.show_client, gives=clients.ClientShown),
    _admin(
        "PATCH", "/clients/{client}", clients.change_client, takes=clients.ClientChange, gives=clients.ClientChanged
    ),
    _admin("DELETE", "/clients/{client}", clients.delete_client, gives=Changed),
    _admin("POST", "/clients/{client}/secret", client_standing.renew_client_secret, gives=clients.ClientChanged),
    _admin("POST", "/clients/{client}/disable", client_standing.disable_client, gives=clients.ClientChanged),
    _admin("POST", "/clients/{client}/enable", client_standing.enable_client, gives=clients.ClientChanged),
    # Administration: sessions, keys, revocations
    _admin("GET", "/sessions", living.list_sessions, takes=living.SessionQuery, gives=PageOf[living.SessionShown]),
    _admin("DELETE", "/sessions/{session}", living.end_session, gives=Changed),
    _admin("GET", "/keys", rotation.list_keys, gives=rotation.KeyList),
    _admin("POST", "/keys/rotate", rotation.rotate_keys, gives=rotation.KeysChanged),
    _admin("POST", "/keys/withdraw-all", rotation.withdraw_all_keys, gives=rotation.KeysChanged),
    _admin("POST", "/keys/{kid}/withdraw", rotation.withdraw_key, gives=rotation.KeysChanged),
    _admin("GET", "/revocations", revocations.list_revocations, takes=Paged, gives=PageOf[revocations.CutoffShown]),
    _admin("POST", "/revocations", revocations.revoke, takes=revocations.Revocation, gives=Changed),
    _admin(
        "GET",
        "/revocations/foreign",
        foreign_revocations.list_foreign_revocations,
        takes=Paged,
        gives=PageOf[foreign_revocations.ForeignCutoffShown],
    ),
    _admin(
        "POST",
        "/revocations/foreign",
        foreign_revocations.revoke_foreign,
        takes=foreign_revocations.ForeignRevocation,
        gives=foreign_revocations.ForeignRevoked,
    ),
    _admin("GET", "/receipts", receipts.show_receipts, takes=receipts.ReceiptQuery, gives=receipts.Receipts),
    _admin("GET", "/guards", receipts.list_guards, gives=receipts.FollowingGuards),
    # Administration: what happened, and how things are
    _admin("GET", "/audit", lines.list_audit, takes=lines.AuditQuery, gives=PageOf[lines.AuditLine]),
    _admin("GET", "/status", status.status, gives=status.Status),
    # For everybody's eyes
    Route("GET", "/.well-known/jwks.json", anyone, jwks.jwks, gives=Document),
    Route("GET", "/.well-known/oauth-authorization-server", anyone, metadata.metadata, gives=Document),
    Route("GET", "/livez", anyone, health.live, gives=Document),
    Route("GET", "/readyz", anyone, health.ready, gives=Document),
)
