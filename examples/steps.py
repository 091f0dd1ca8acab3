"""The story, step by step. Each step plays on a stage of its own making and stands alone: new users, new tokens."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final, NamedTuple

import httpx2

from examples.processes import eventually
from examples.stage import Stage, Tokens, User, bearer, good, told
from watchword import Issuer, Key

SAME_SECOND_ATTEMPTS: Final = 20
RACERS: Final = 4


class Row(NamedTuple):
    """A line of the story's table. ``ms`` is from a revocation's acknowledgement to the guard's first refusal."""

    step: str
    expected: str
    got: str
    ms: float | None = None

    @property
    def good(self) -> bool:
        """Whether it went as it should."""
        return self.expected == self.got


Rows = Iterator[Row]


def answered(step: str, expected: str, answer: httpx2.Response) -> Row:
    """A row about one answer."""
    return Row(step, expected, told(answer))


def dies(stage: Stage, step: str, expected: str, token: str) -> Row:
    """A row about a token that was revoked a moment ago: the first refusal, and when it came."""
    refusal, ms = stage.first_refusal(token)
    return Row(step, expected, told(refusal), ms)


# -- Tokens that stand, and tokens that do not


def signing_in(stage: Stage) -> Rows:
    """Who has signed in is let in, and nobody else."""
    tokens = stage.sign_in(stage.add_user("editor"))
    yield answered("signed in", "200", stage.ask(tokens.access))
    yield answered("no token", "401 without an error code", stage.ask(None))


def changed_bytes(stage: Stage) -> Rows:
    """The signature covers every byte."""
    token = stage.sign_in(stage.add_user("editor")).access
    header, payload, signature = token.split(".")
    yield answered("payload changed", "401 bad_signature", stage.ask(f"{header}.{_changed(payload)}.{signature}"))
    yield answered("signature changed", "401 bad_signature", stage.ask(f"{header}.{payload}.{_changed(signature)}"))


def expiry(stage: Stage) -> Rows:
    """A token ends by itself, here after one second and the guard's leeway."""
    client, _ = stage.add_client(public=True, grants=["login"], audiences=["articles"], lifetime=1)
    token = stage.sign_in(stage.add_user("editor"), client).access
    yield answered("a token for one second", "200", stage.ask(token))
    eventually(lambda: not stage.ask(token).is_success, 10)
    yield answered("it has expired", "401 token_expired", stage.ask(token))


def others_tokens(stage: Stage) -> Rows:
    """A token for somebody else, from somebody else, or of another kind is no access token here."""
    user = stage.add_user("editor")
    yield answered(
        "for another audience", "401 wrong_audience", stage.ask(stage.sign_in(user, audience=stage.issuer).access)
    )
    for name in (stage.issuer, "https://auth.example"):
        forged = Issuer(name, Key.generate("ES256"), lifetime=timedelta(minutes=5))
        token = forged.mint(subject=user.id, audience="articles", client="web", roles=["admin"])
        which = "our name" if name == stage.issuer else "its own name"
        yield answered(f"of another issuer, under {which}", "401 unknown_key", stage.ask(token))
    yield answered("a refresh token", "401 token_malformed", stage.ask(stage.sign_in(user).refresh))
    yield answered("a data token", "401 wrong_token_type", stage.ask(_data_token(stage)))


def missing_roles(stage: Stage) -> Rows:
    """Who lacks a role or is not the owner is told what is missing."""
    ada, linus, grace, margaret = (
        stage.sign_in(stage.add_user(role)).access for role in ("editor", "editor", "architect", "admin")
    )
    reader = stage.sign_in(stage.add_user()).access
    draft = {"title": "On guards", "body": "They hold two small things in memory."}
    yield answered(
        "writing without the role", "403 missing role editor", stage.ask(reader, "POST", "/articles", **draft)
    )
    written = stage.ask(ada, "POST", "/articles", **draft)
    yield answered("writing as an editor", "201", written)
    article = f"/articles/{good(written).json()['id']}"
    refused = "403 missing permission articles:publish"
    yield answered("publishing as an editor", refused, stage.ask(ada, "POST", f"{article}/publish"))
    yield answered("publishing as an architect", "200", stage.ask(grace, "POST", f"{article}/publish"))
    yield answered("reading as anybody signed in", "200", stage.ask(reader, path=article))
    refused = "403 missing ownership or role admin"
    yield answered("deleting another's article", refused, stage.ask(linus, "DELETE", article))
    yield answered("deleting one's own", "204", stage.ask(ada, "DELETE", article))
    article = f"/articles/{good(stage.ask(ada, 'POST', '/articles', **draft)).json()['id']}"
    yield answered("deleting another's as an admin", "204", stage.ask(margaret, "DELETE", article))


# -- Revocations


def password_changed(stage: Stage) -> Rows:
    """Older tokens die and the next one lives, although all were issued in the same second."""
    user = stage.add_user("editor")
    for _ in range(SAME_SECOND_ATTEMPTS):
        _await_next_second()
        old = stage.sign_in(user)
        changed = User(user.id, user.name, user.password + "!")
        stage.account(user, "POST", "/account/password", password=user.password, new_password=changed.password)
        row = dies(stage, "password changed: an older token", "401 credentials_changed", old.access)
        user, new = changed, stage.sign_in(changed)
        if old.claims["iat"] == new.claims["iat"] or not row.good:
            break
    yield row
    yield answered("the next sign-in's", "200", stage.ask(new.access))
    yield answered("the old refresh token", "400 invalid_grant", stage.try_refresh(old))
    yield Row("issued in the same second", "yes", "yes" if old.claims["iat"] == new.claims["iat"] else "no")


def racing_sign_ins(stage: Stage) -> Rows:
    """A sign-in that was checking the old password while it was changed gets nothing that stands."""
    user = stage.add_user("editor")
    changed, answers = threading.Event(), list[httpx2.Response]()

    def sign_in_again_and_again() -> None:
        while not changed.is_set():
            answers.append(stage.try_sign_in(user))

    with ThreadPoolExecutor(RACERS) as pool:
        for _ in range(RACERS):
            pool.submit(sign_in_again_and_again)
        try:
            eventually(lambda: len(answers) > RACERS, 30)
            stage.account(user, "POST", "/account/password", password=user.password, new_password=user.password + "!")
        finally:
            changed.set()
        yield dies(stage, "password changed amid sign-ins", "401 credentials_changed", Tokens.of(answers[0]).access)
    tokens = [Tokens.of(answer) for answer in answers if answer.is_success]
    refusals = {told(stage.first_refusal(token.access)[0]) for token in tokens}
    yield Row("every token that they got", "401 credentials_changed", " | ".join(sorted(refusals)))
    refreshed = {told(stage.try_refresh(token)) for token in tokens}
    yield Row("every refresh token", "400 invalid_grant", " | ".join(sorted(refreshed)))


def disabled_and_enabled(stage: Stage) -> Rows:
    """Enabling a user again does not wake the tokens from before."""
    user = stage.add_user("editor")
    token = stage.sign_in(user).access
    stage.administrator("POST", f"/users/{user.id}/disable")
    yield dies(stage, "user disabled", "401 user_disabled", token)
    yield answered("signing in meanwhile", "401 sign_in_failed", stage.try_sign_in(user))
    stage.administrator("POST", f"/users/{user.id}/enable")
    new = stage.sign_in(user).access
    yield answered("enabled again: a new token", "200", stage.ask(new))
    yield answered("the old one", "401 user_disabled", stage.ask(token))


def deleted_and_made_again(stage: Stage) -> Rows:
    """A new user of the same name is another user."""
    user = stage.add_user("editor")
    token = stage.sign_in(user).access
    stage.administrator("DELETE", f"/users/{user.id}")
    yield dies(stage, "user deleted", "401 user_deleted", token)
    new = stage.sign_in(stage.add_user("editor", name=user.name)).access
    yield answered("a new user of the same name", "200", stage.ask(new))
    yield answered("the old user's token", "401 user_deleted", stage.ask(token))


def roles_changed(stage: Stage) -> Rows:
    """The session goes on: the old token is refused with a hint, and a refresh brings the new roles."""
    user = stage.add_user("editor")
    tokens = stage.sign_in(user)
    stage.administrator("PUT", f"/users/{user.id}/roles", roles=["architect"])
    refusal, ms = stage.first_refusal(tokens.access)
    yield Row("roles changed", "401 roles_changed", told(refusal), ms)
    yield Row("the hint", "Refresh the token.", refusal.json()["title"].split(". ")[-1])
    refreshed = Tokens.of(stage.try_refresh(tokens))
    roles = good(stage.ask(refreshed.access)).json()["roles"]
    yield Row("the refreshed token's roles", "architect, editor", ", ".join(roles))


def session_ended(stage: Stage) -> Rows:
    """Only that device's tokens die."""
    user = stage.add_user("editor")
    phone, laptop = stage.sign_in(user, label="phone"), stage.sign_in(user, label="laptop")
    stage.account(user, "DELETE", f"/account/sessions/{phone.claims['sid']}")
    yield dies(stage, "session ended: the phone", "401 session_ended", phone.access)
    yield answered("the phone's refresh token", "400 invalid_grant", stage.try_refresh(phone))
    yield answered("the laptop", "200", stage.ask(laptop.access))


def signed_out_everywhere(stage: Stage) -> Rows:
    """All devices of one user, and of nobody else."""
    user, other = stage.add_user("editor"), stage.sign_in(stage.add_user("editor"))
    phone, laptop = stage.sign_in(user, label="phone"), stage.sign_in(user, label="laptop")
    stage.account(user, "POST", "/logout", everywhere=True)
    yield dies(stage, "signed out everywhere: the phone", "401 signed_out", phone.access)
    yield answered("the laptop", "401 signed_out", stage.ask(laptop.access))
    yield answered("the laptop's refresh token", "400 invalid_grant", stage.try_refresh(laptop))
    yield answered("somebody else", "200", stage.ask(other.access))


def one_token_revoked(stage: Stage) -> Rows:
    """One token by its id; the session goes on."""
    first = stage.sign_in(stage.add_user("editor"))
    second = Tokens.of(stage.try_refresh(first))
    stage.administrator("POST", "/revocations", scope="token", id=first.claims["jti"])
    yield dies(stage, "one token revoked by its id", "401 token_revoked", first.access)
    yield answered("another of the same session", "200", stage.ask(second.access))


def client_secret_changed(stage: Stage) -> Rows:
    """Whatever was issued to the client before is dead, whoever holds it."""
    client, secret = stage.add_client(grants=["client_credentials"], audiences=["articles"])
    token = Tokens.of(stage.try_own_token(client, secret)).access
    yield answered("a client's own token", "200", stage.ask(token))
    new_secret = stage.administrator("POST", f"/clients/{client}/secret")["client_secret"]
    yield dies(stage, "its secret changed", "401 client_revoked", token)
    yield answered("the old secret", "401 invalid_client", stage.try_own_token(client, secret))
    token = Tokens.of(stage.try_own_token(client, new_secret)).access
    yield answered("a token of the new one", "200", stage.ask(token))


def everything_expired(stage: Stage) -> Rows:
    """All are out, whoever they are, and may sign in again at once."""
    user, client = stage.add_user("editor"), stage.add_client(grants=["client_credentials"], audiences=["articles"])
    tokens, service = stage.sign_in(user), Tokens.of(stage.try_own_token(*client))
    stage.administrator("POST", "/revocations", scope="everyone")
    yield dies(stage, "everything expired by force", "401 everything_expired", tokens.access)
    yield answered("a client's own token", "401 everything_expired", stage.ask(service.access))
    yield answered("a refresh token", "400 invalid_grant", stage.try_refresh(tokens))
    yield answered("a new sign-in", "200", stage.ask(stage.sign_in(user).access))


def key_withdrawn(stage: Stage) -> Rows:
    """A key that leaked takes its own tokens with it, and no others."""
    user = stage.add_user("editor")
    old = stage.sign_in(user)
    keys = stage.administrator("GET", "/keys")["items"]
    kid = next(key["kid"] for key in keys if key["state"] == "current")
    stage.administrator("POST", "/keys/rotate")
    new = stage.sign_in(user)
    yield answered("signing keys rotated: the old key's token", "200", stage.ask(old.access))
    yield answered("the new key's", "200", stage.ask(new.access))
    stage.administrator("POST", f"/keys/{kid}/withdraw")
    yield dies(stage, "the old key withdrawn: its token", "401 key_withdrawn", old.access)
    yield answered("the new key's", "200", stage.ask(new.access))
    yield answered("the session goes on: a refreshed token", "200", stage.ask(Tokens.of(stage.try_refresh(old)).access))


Step = Callable[[Stage], Rows]

STEPS: Final[tuple[Step, ...]] = (
    signing_in,
    changed_bytes,
    expiry,
    others_tokens,
    missing_roles,
    password_changed,
    racing_sign_ins,
    disabled_and_enabled,
    deleted_and_made_again,
    roles_changed,
    session_ended,
    signed_out_everywhere,
    one_token_revoked,
    client_secret_changed,
    everything_expired,
    key_withdrawn,
)


def _changed(segment: str) -> str:
    """One character in the middle is another; the last ones could be padding that no strict reader accepts."""
    middle = len(segment) // 2
    return segment[:middle] + ("A" if segment[middle] != "A" else "B") + segment[middle + 1 :]


def _data_token(stage: Stage) -> str:
    own = Tokens.of(stage.try_own_token("articles", stage.secret, audience=stage.issuer))
    asked = {"audience": "articles", "data": {"title": "sent by another service"}}
    answer = good(stage.authority.post("/data-tokens", json=asked, headers=bearer(own.access)))
    return str(answer.json()["data_token"])


def _await_next_second() -> None:
    time.sleep(1 - time.time() % 1)
