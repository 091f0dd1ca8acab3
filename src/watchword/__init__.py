"""Watchword: sign-in, roles and revocation for REST APIs with JSON Web Tokens."""

from watchword.core.claims import Caller, Data
from watchword.core.cutoffs import Position
from watchword.core.keys import Key, PublicKey
from watchword.core.keyset import KeySet
from watchword.core.tokens import Issuer, Verifier
from watchword.errors import Refused

__all__ = [
    "Caller",
    "Data",
    "Issuer",
    "Key",
    "KeySet",
    "Position",
    "PublicKey",
    "Refused",
    "Verifier",
]
