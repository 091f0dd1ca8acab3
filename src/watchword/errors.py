"""Every refusal: one class, one stable code, one public sentence, one private detail.

A refusal says no to a token or a request. It is not a misuse of this library (that is a ``ValueError`` or a
``TypeError``, at start-up wherever possible) and not a bug. Only ``sentence`` and ``public`` may leave the process
in an answer; ``detail`` is for the audit log of whoever runs the service.
"""

from typing import ClassVar

_DETAIL_LIMIT = 160  # with the longest code, the text stays under 200 characters


class Refused(Exception):
    """The base of all refusals; catch this one, tell them apart by ``code``.

    ``status`` is the HTTP answer. ``challenge`` is the error code of RFC 6750 section 3.1 for the
    ``WWW-Authenticate`` field, and ``oauth`` the one of RFC 6749 section 5.2 where an endpoint of OAuth answers.
    ``retry_after`` is in seconds.
    """

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 401
    sentence: str = "This request was refused."
    challenge: ClassVar[str | None] = None
    oauth: ClassVar[str] = "invalid_request"

    def __init__(self, detail: str = "", *, retry_after: int | None = None, **public: object) -> None:
        self.detail = detail if len(detail) <= _DETAIL_LIMIT else detail[: _DETAIL_LIMIT - 1] + "…"
        self.retry_after = retry_after
        self.public = public
        super().__init__(self.detail)

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


# -- No token, or no way to read one


class NoToken(Refused):
    """The request carries no bearer token: 401 without an error code (RFC 6750 section 3.1)."""

    code = "no_token"
    sentence = "This needs a signed-in caller: send an access token as a Bearer token."


class AmbiguousCredentials(Refused):
    """The request carries more than one ``Authorization`` field; we never choose between two."""

    code = "ambiguous_credentials"
    status = 400
    sentence = "Send exactly one Authorization field."
    challenge = "invalid_request"


class InvalidPosition(Refused):
    """The request names a position that it wants to be known, and it is none, or there are several."""

    code = "invalid_position"
    status = 400
    sentence = "Send one Watchword-At-Least field at most, with a position as it came."


class InvalidToken(Refused):
    """The base of the refusals that a token earns by itself: 401 ``invalid_token``."""

    code = "invalid_token"
    sentence = "The token is not valid."
    challenge = "invalid_token"


class Malformed(InvalidToken):
    """Not a compact JWS of strict base64url and strict JSON (RFC 7515 section 7.1, RFC 8725 section 3)."""

    code = "token_malformed"
    sentence = "The token is not a well-formed JSON Web Token."


class AlgorithmNotAllowed(InvalidToken):
    """The header names an algorithm that is not allowed, or that is not the one of its key (RFC 8725 3.1)."""

    code = "algorithm_not_allowed"
    sentence = "The token's algorithm is not allowed here."


class UnknownKey(InvalidToken):
    """No ``kid``, or none that is known."""

    code = "unknown_key"
    sentence = "The token was signed with a key that is not known here."


class KeyWithdrawn(InvalidToken):
    """The key was withdrawn: every token that it signed is dead."""

    code = "key_withdrawn"
    sentence = "The token was signed with a key that has been withdrawn. Sign in again."


class BadSignature(InvalidToken):
    """The signature does not match: the token was changed, or somebody else made it."""

    code = "bad_signature"
    sentence = "The token's signature is not valid."


class WrongType(InvalidToken):
    """``typ`` names another kind of token (RFC 8725 section 3.11)."""

    code = "wrong_token_type"
    sentence = "The token is of another kind than the one that is wanted here."


class InvalidClaim(InvalidToken):
    """A claim is missing, or is not of the type and size that it must have."""

    code = "invalid_claim"
    sentence = "The token lacks a claim that is needed, or one is not well-formed."


class WrongIssuer(InvalidToken):
    """``iss`` is not the issuer that is trusted here."""

    code = "wrong_issuer"
    sentence = "The token comes from an issuer that is not trusted here."


class WrongAudience(InvalidToken):
    """``aud`` does not name this service."""

    code = "wrong_audience"
    sentence = "The token is meant for another service."


class LifetimeTooLong(InvalidToken):
    """``exp - iat`` exceeds the longest lifetime that is accepted; otherwise a forgotten cutoff would wake up."""

    code = "lifetime_too_long"
    sentence = "The token lives longer than is accepted here."


class TokenBound(InvalidToken):
    """The token is bound to a key (``cnf``, RFC 7800) and no bearer token."""

    code = "token_bound"
    sentence = "The token is bound to a key and cannot be used as a plain bearer token."


class NotYetValid(InvalidToken):
    """``nbf`` or ``iat`` lies in the future."""

    code = "token_not_yet_valid"
    sentence = "The token is not valid yet."


class AnotherCaller(InvalidToken):
    """A fresh token for an open connection is not of the subject, session and client that opened it."""

    code = "another_caller"
    sentence = "The token is not of the caller who opened this connection."


class Expired(InvalidToken):
    """``exp`` is over."""

    code = "token_expired"
    sentence = "The token has expired. Refresh it, or sign in again."


# -- Cut off: the token was good, and something happened since


class CutOff(InvalidToken):
    """The base of the refusals that a cutoff brings."""

    code = "cut_off"
    sentence = "The token has been revoked. Sign in again."


class BelowFloor(CutOff):
    """Older than anything that the authority still remembers cutoffs for."""

    code = "below_floor"
    sentence = "The token is too old to be judged. Refresh it, or sign in again."


class FormerEpoch(CutOff):
    """Minted in a history of the authority that is over, or in one that is not known here."""

    code = "former_epoch"
    sentence = "The token comes from before the authority was recovered. Sign in again."


class CredentialsChanged(CutOff):
    """The password was changed after this token was minted."""

    code = "credentials_changed"
    sentence = "The password was changed after this token was issued. Sign in again."


class UserDisabled(CutOff):
    """The account was disabled after this token was minted."""

    code = "user_disabled"
    sentence = "The account was disabled after this token was issued."


class UserDeleted(CutOff):
    """The account was deleted."""

    code = "user_deleted"
    sentence = "The account that this token was issued to no longer exists."


class RolesChanged(CutOff):
    """The caller's roles changed; the session lives on, so a refresh brings the new ones."""

    code = "roles_changed"
    sentence = "The caller's roles have changed. Refresh the token."


class SessionEnded(CutOff):
    """This sign-in on this device was ended."""

    code = "session_ended"
    sentence = "The session was ended. Sign in again."


class SignedOut(CutOff):
    """All sessions of the user were ended."""

    code = "signed_out"
    sentence = "The user signed out everywhere. Sign in again."


class TokenRevoked(CutOff):
    """This one token was revoked by its id."""

    code = "token_revoked"
    sentence = "The token was revoked."


class ClientRevoked(CutOff):
    """The client's secret changed, or the client was disabled or removed."""

    code = "client_revoked"
    sentence = "The application that this token was issued to was revoked, or its secret has changed."


class EverythingExpired(CutOff):
    """Everything was expired by force."""

    code = "everything_expired"
    sentence = "All sessions were ended by the operator. Sign in again."


# -- The guard cannot know


class Unknowing(Refused):
    """The base of the refusals of a guard that knows too little: 503 with ``Retry-After``."""

    code = "guard_unknowing"
    status = 503
    sentence = "Revocations cannot be checked at the moment. Try again soon."


class NotReady(Unknowing):
    """The guard has never reached its authority: closed until the first snapshot."""

    code = "guard_not_ready"


class Stale(Unknowing):
    """What the guard knows is older than ``max_staleness``."""

    code = "guard_stale"


class Behind(Unknowing):
    """The guard has not yet heard of the change that the request names in ``Watchword-At-Least``."""

    code = "behind"
    sentence = "The change that this request refers to is not known here yet. Try again soon."


# -- Tickets of browsers


class InvalidTicket(Refused):
    """No ticket of ours, spent, older than 30 seconds, or for another path: one answer for all."""

    code = "invalid_ticket"
    sentence = "The ticket is not valid, or not any more. Ask for a new one."
    challenge = "invalid_token"


class TooManyTickets(Refused):
    """One caller has asked for more tickets than anybody needs."""

    code = "too_many_tickets"
    status = 429
    sentence = "Too many tickets at this moment. Try again soon."


class TicketsUnavailable(Unknowing):
    """The store of tickets cannot be reached, or the service has given out all that it may at this moment."""

    code = "tickets_unavailable"
    sentence = "Tickets cannot be used at the moment. Try again soon."


# -- Known, and not allowed


class NotPermitted(Refused):
    """The caller lacks a role, permission, scope or ownership; ``missing`` names what the rule wants."""

    code = "not_permitted"
    status = 403
    sentence = "The caller is not allowed to do this."
    challenge = "insufficient_scope"


class NoRule(Refused):
    """No row of the policy covers this method and path, so nobody may."""

    code = "no_rule"
    status = 403
    sentence = "No rule allows this method and path."
    challenge = "insufficient_scope"


# -- The authority's requests


class InvalidRequest(Refused):
    """The request cannot be read: not strict JSON or not a proper form, or parameters repeat."""

    code = "invalid_request"
    status = 400
    sentence = "The request is not well-formed."


class InvalidField(Refused):
    """A member of the body or a parameter is missing, unknown, or not of the type, form or size that it must have."""

    code = "invalid_field"
    status = 422
    sentence = "A field of the request is not valid."


class BodyTooLarge(Refused):
    """The body is over the limit."""

    code = "body_too_large"
    status = 413
    sentence = "The body of the request is too large."


class BodyTooSlow(Refused):
    """The body did not come whole in time."""

    code = "body_too_slow"
    status = 408
    sentence = "The body of the request took too long to come."


class UnsupportedMediaType(Refused):
    """The body's ``Content-Type`` is not the one that the endpoint reads."""

    code = "unsupported_media_type"
    status = 415
    sentence = "The body has a content type that this endpoint does not read."


class NotFound(Refused):
    """There is no such thing, or it is not the caller's to see."""

    code = "not_found"
    status = 404
    sentence = "There is no such thing here."


class Conflict(Refused):
    """Something of that name exists, or is still in use."""

    code = "conflict"
    status = 409
    sentence = "This conflicts with what is there already."


class KeyTooNew(Refused):
    """The next key may not be known to every guard yet; ``wait_seconds`` tells when it surely is."""

    code = "key_too_new"
    status = 409
    sentence = "The next key has not been published for long enough to sign."


class LastAdministrator(Refused):
    """The change would leave no administrator who can sign in."""

    code = "last_administrator"
    status = 409
    sentence = "The last administrator cannot be removed, disabled or stripped of the role."


class SignInFailed(Refused):
    """Unknown user, wrong password or disabled account: one answer for all, in the same time."""

    code = "sign_in_failed"
    sentence = "User name or password is wrong."
    oauth = "invalid_grant"


class PasswordChangeRequired(Refused):
    """The password was right but must be changed: repeat the sign-in with ``new_password``."""

    code = "password_change_required"
    status = 403
    sentence = "The password must be changed first: repeat the sign-in with new_password beside password."


class Throttled(Refused):
    """Too many failed sign-ins for this account or from this address."""

    code = "throttled"
    status = 429
    sentence = "Too many failed attempts. Try again later."


class Busy(Refused):
    """More sign-ins at once than the machine may hash."""

    code = "busy"
    status = 429
    sentence = "Too many sign-ins at this moment. Try again soon."


class InvalidClient(Refused):
    """The client is unknown, disabled, or did not prove who it is (RFC 6749 section 5.2)."""

    code = "invalid_client"
    sentence = "The client is unknown, or its credentials are wrong."
    oauth = "invalid_client"


class UnauthorizedClient(Refused):
    """The client may not do this (RFC 6749 section 5.2)."""

    code = "unauthorized_client"
    status = 400
    sentence = "The client is not allowed to do this."
    oauth = "unauthorized_client"


class UnsupportedGrantType(Refused):
    """``grant_type`` is none that we know (RFC 6749 section 5.2)."""

    code = "unsupported_grant_type"
    status = 400
    sentence = "This grant type is not supported."
    oauth = "unsupported_grant_type"


class InvalidTarget(Refused):
    """The audience is unknown, or not one of the client's (RFC 8707 section 2)."""

    code = "invalid_target"
    status = 400
    sentence = "The audience is missing, or is not one that the client may name."
    oauth = "invalid_target"


class InvalidScope(Refused):
    """The scope exceeds what the client or the session was allowed (RFC 6749 section 5.2)."""

    code = "invalid_scope"
    status = 400
    sentence = "The scope is more than the client may ask for."
    oauth = "invalid_scope"


class InvalidGrant(Refused):
    """The refresh token is unknown, expired, or of another client or of a session that is over."""

    code = "invalid_grant"
    status = 400
    sentence = "The refresh token is not valid any more. Sign in again."
    oauth = "invalid_grant"


class RefreshReused(InvalidGrant):
    """A spent refresh token came back: its session is over, access tokens included."""

    code = "refresh_reused"
    sentence = "The refresh token was used twice; its session was ended. Sign in again."


class HistoryLost(Refused):
    """The database is behind what a guard has seen: the feed is closed until the operator recovers."""

    code = "history_lost"
    status = 503
    sentence = "The authority has lost part of its history and must be recovered by its operator."


class Unavailable(Refused):
    """The database cannot be reached or is locked."""

    code = "unavailable"
    status = 503
    sentence = "The authority cannot answer at the moment. Try again soon."


class Bug(Refused):
    """A mistake in the authority itself; its log has the trace."""

    code = "internal_error"
    status = 500
    sentence = "The authority made a mistake."
