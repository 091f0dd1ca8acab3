"""Signing in over HTTP: the first administrator, and what strangers learn."""

import stat

from examples.stage import Stage, User, told


def test_the_first_administrators_password_lies_in_a_file_of_its_owner(stage: Stage) -> None:
    """Where there is no terminal the one-time password is in a file that nobody else may read."""
    file = stage.data / "watchword.first-administrator"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_one_time_password_must_be_changed_at_the_first_sign_in(stage: Stage) -> None:
    """The right one-time password opens nothing until it comes with a new password."""
    made = stage.administrator("POST", "/users", username="newcomer", roles=["editor"])
    newcomer = User(made["user"]["id"], "newcomer", made["one_time_password"])
    assert told(stage.try_sign_in(newcomer)) == "403 password_change_required"
    changed = User(newcomer.id, newcomer.name, "a password of my own")
    tokens = stage.sign_in(newcomer, new_password=changed.password)
    assert told(stage.ask(tokens.access)) == "200"
    assert told(stage.try_sign_in(changed)) == "200"
    assert told(stage.try_sign_in(newcomer)) == "401 sign_in_failed"


def test_an_unknown_user_and_a_wrong_password_are_told_the_same(stage: Stage) -> None:
    """Status, headers and body do not say who exists, nor who is disabled."""
    known, disabled = stage.add_user(), stage.add_user()
    stage.administrator("POST", f"/users/{disabled.id}/disable")
    answers = [
        stage.try_sign_in(user)
        for user in (User("", "nobody", known.password), User("", known.name, "a wrong password"), disabled)
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(name for name, _ in answer.headers.multi_items()) for answer in answers}) == 1


def test_a_users_token_administers_nothing(stage: Stage) -> None:
    """An example service's admin is nobody at the authority, and its tokens are for another audience."""
    user = stage.add_user("admin")
    for audience, refusal in (("articles", "401 wrong_audience"), (stage.issuer, "403 missing role administrator")):
        token = stage.sign_in(user, audience=audience).access
        answer = stage.authority.get("/admin/users", headers={"Authorization": f"Bearer {token}"})
        assert told(answer) == refusal


def test_logs_hold_neither_passwords_nor_tokens(stage: Stage) -> None:
    """What both processes say of a sign-in, good or bad, does not let anybody else sign in."""
    user = stage.add_user("editor")
    tokens = stage.sign_in(user)
    wrong = User(user.id, user.name, "a-password-typed-wrong")
    stage.try_sign_in(wrong)
    stage.ask(tokens.access)
    stage.try_refresh(tokens)
    secrets = (user.password, wrong.password, tokens.refresh, tokens.access, tokens.access.rpartition(".")[2])
    said = "".join(file.read_text() for file in stage.data.glob("*.log"))
    assert tokens.claims["sub"] in said
    assert not [secret for secret in (*secrets, stage.secret) if secret in said]
