"""Watchword: sign-in, roles and revocation for REST APIs with JSON Web Tokens."""

from watchword.core.caller import Caller, Data
from watchword.core.cutoffs import Position
from watchword.core.issuer import Issuer
from watchword.core.keys import Key, PublicKey
from watchword.core.keyset import KeySet
from watchword.core.secret import SecretKey, SecretKeySet
from watchword.core.verifier import Verifier
from watchword.errors import Refused
from watchword.guard.guard import Guard
from watchword.guard.other_issuer import OtherIssuer
from watchword.guard.policy import Policy
from watchword.guard.rules import Rule, anyone, owner, permission, role, scope, signed_in
from watchword.guard.ticket_folder import DirectoryTickets
from watchword.guard.tickets import Tickets

__all__ = [
    "Caller",
    "Data",
    "DirectoryTickets",
    "Guard",
    "Issuer",
    "Key",
    "KeySet",
    "OtherIssuer",
    "Policy",
    "Position",
    "PublicKey",
    "Refused",
    "Rule",
    "SecretKey",
    "SecretKeySet",
    "Tickets",
    "Verifier",
    "anyone",
    "owner",
    "permission",
    "role",
    "scope",
    "signed_in",
]
