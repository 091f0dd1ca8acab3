"""The authority's metadata (RFC 8414): where what is, for clients that look it up."""

from typing import Any

from watchword.authority.authority import Authority
from watchword.authority.clients.grants import GRANT_TYPES
from watchword.authority.http import Call


async def metadata(authority: Authority, call: Call[None]) -> dict[str, Any]:  # noqa: ARG001
    """Where the endpoints are and what they support (RFC 8414 section 2)."""
    issuer = authority.settings.issuer
    methods = ["client_secret_basic", "client_secret_post", "none"]
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "revocation_endpoint": f"{issuer}/revoke",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "grant_types_supported": list(GRANT_TYPES),
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "service_documentation": f"{issuer}/openapi.json",
    }
