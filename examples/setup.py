"""What the example service needs at the authority: its audience, its roles, its clients, and some people."""

import secrets
from collections.abc import Mapping
from typing import Any, Final

import httpx2

ROLES: Final = {
    "editor": "writes articles",
    "architect": "publishes articles, and does all that editors do",
    "admin": "deletes anybody's articles, and does all that architects do",
}
USERS: Final = {"ada": "editor", "linus": "editor", "grace": "architect", "margaret": "admin"}
CONFLICT: Final = 409


def set_up(administrator: httpx2.Client, *, issuer: str, passwords: Mapping[str, str]) -> str:
    """Register everything, over an administrator's connection; the secret of the client ``articles``.

    What is there already stays as it is, so that a set-up which was cut off is completed by the next one.
    """
    _add(administrator, "/admin/audiences", name="articles")
    for role, description in ROLES.items():
        _add(administrator, "/admin/roles", name=role, description=description)
    for name, password in passwords.items():
        _add(administrator, "/admin/users", username=name, password=password, roles=[USERS[name]])
    # Whoever signs in at `web` gets tokens for the articles, and for their own account at the authority.
    _add(administrator, "/admin/clients", id="web", public=True, grants=["login"], audiences=["articles", issuer])
    grants = ["feed", "client_credentials", "data"]
    service = _add(administrator, "/admin/clients", id="articles", grants=grants, audiences=["articles", issuer])
    if service is None:
        service = change(administrator, "POST", "/admin/clients/articles/secret")
    return str(service["client_secret"])


def change(administrator: httpx2.Client, method: str, path: str, **members: object) -> dict[str, Any]:
    """Send one change to the admin API; its answer. ``RuntimeError`` if it was refused."""
    answer = administrator.request(method, path, json=members or None)
    if not answer.is_success:
        raise RuntimeError(f"{method} {path} was refused: {answer.status_code} {answer.text}")
    answered: dict[str, Any] = answer.json()
    return answered


def new_password() -> str:
    """A random password."""
    return secrets.token_urlsafe(18)


def _add(administrator: httpx2.Client, path: str, **members: object) -> dict[str, Any] | None:
    """Add something; None if it is there already."""
    answer = administrator.post(path, json=members)
    if answer.status_code == CONFLICT:
        return None
    if not answer.is_success:
        raise RuntimeError(f"POST {path} was refused: {answer.status_code} {answer.text}")
    added: dict[str, Any] = answer.json()
    return added
