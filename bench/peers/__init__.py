"""Other libraries, each in a process of its own and used in its own best way, with what its manual asks to be checked.

Each file offers ``prepare(material)``: named functions that verify one token.
"""

from collections.abc import Callable
from typing import TypedDict


class Material(TypedDict):
    """What every peer gets: the key as PEM and as JWK, and what tokens must say."""

    algorithm: str
    pem: str
    jwk: dict[str, str]
    issuer: str
    audience: str
    tokens: list[str]


Variants = dict[str, Callable[[str], object]]
