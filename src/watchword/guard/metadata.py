"""Where an issuer's keys are: its metadata, by OpenID Connect Discovery 1.0 section 4 and by RFC 8414 section 3."""

from typing import Final, NamedTuple

from watchword.core.encoding import NotStrict, json_object
from watchword.transport import Address, TransportError, locate

_OPENID: Final = "/.well-known/openid-configuration"
_OAUTH: Final = "/.well-known/oauth-authorization-server"


class Resource(NamedTuple):
    """What to ask for, and where."""

    address: Address
    target: str


def metadata_resources(issuer: str, *, plain_http_anywhere: bool) -> tuple[Resource, Resource]:
    """Where an issuer's metadata may be: OpenID Connect appends to the issuer's path, RFC 8414 goes before it."""
    address, path = locate(issuer, plain_http_anywhere=plain_http_anywhere)
    path = path.rstrip("/")
    return Resource(address, path + _OPENID), Resource(address, _OAUTH + path)


def jwks_resource(issuer: str, document: bytes, *, plain_http_anywhere: bool) -> Resource:
    """Where metadata say that the keys are; `TransportError` for metadata of another issuer, or keys of another host.

    Whoever can change what one host answers must not be able to send us to another.
    """
    try:
        members = json_object(document)
    except NotStrict as why:
        raise TransportError(f"no metadata: {why}") from None
    if members.get("issuer") != issuer:
        raise TransportError("the metadata are another issuer's")
    url = members.get("jwks_uri")
    if not isinstance(url, str):
        raise TransportError("the metadata name no jwks_uri")
    try:
        resource = Resource(*locate(url, plain_http_anywhere=plain_http_anywhere))
        origin, _ = locate(issuer, plain_http_anywhere=plain_http_anywhere)
    except ValueError:
        raise TransportError("the jwks_uri is no URL that is followed") from None
    if resource.address != origin:
        raise TransportError("the jwks_uri is on another host than the issuer: name it in jwks if that is meant")
    return resource
