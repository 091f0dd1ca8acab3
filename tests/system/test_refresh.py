"""Refresh tokens over HTTP: two tabs, and a thief."""

from concurrent.futures import ThreadPoolExecutor

from examples.processes import eventually
from examples.stage import Stage, Tokens, told


def test_two_tabs_that_refresh_at_once_both_go_on(stage: Stage) -> None:
    """The same refresh token, sent twice at once, is answered twice with the one successor."""
    tokens = stage.sign_in(stage.add_user("editor"))
    with ThreadPoolExecutor(2) as pool:
        tabs = [Tokens.of(answer) for answer in pool.map(stage.try_refresh, [tokens, tokens])]
    assert len({tab.refresh for tab in tabs}) == 1
    assert [stage.ask(tab.access).status_code for tab in tabs] == [200, 200]
    assert stage.try_refresh(tabs[0]).status_code == 200


def test_an_answer_that_was_lost_is_given_again(stage: Stage) -> None:
    """A spent token whose successor was never used is a retry, however late."""
    tokens = stage.sign_in(stage.add_user("editor"))
    lost, repeated = Tokens.of(stage.try_refresh(tokens)), Tokens.of(stage.try_refresh(tokens))
    assert repeated.refresh == lost.refresh


def test_reuse_ends_the_family_and_its_access_tokens(stage: Stage) -> None:
    """A spent token comes back after its successor was used and its grace is over: thief and owner are both out."""
    user = stage.add_user("editor")
    stolen, elsewhere = stage.sign_in(user), stage.sign_in(user)
    living = Tokens.of(stage.try_refresh(Tokens.of(stage.try_refresh(stolen))))

    refused = "400 refresh_reused"
    assert eventually(lambda: told(stage.try_refresh(stolen)) == refused, 30)
    assert told(stage.first_refusal(living.access)[0]) == "401 session_ended"
    assert told(stage.try_refresh(living)) == "400 invalid_grant"
    assert told(stage.ask(elsewhere.access)) == "200"


def test_a_refresh_token_is_good_for_its_own_client_only(stage: Stage) -> None:
    """Another client that holds the token gets nothing for it, and its owner goes on."""
    other, _ = stage.add_client(public=True, grants=["login"], audiences=["articles"])
    tokens = stage.sign_in(stage.add_user("editor"))
    assert told(stage.try_refresh(tokens, other)) == "400 invalid_grant"
    assert told(stage.try_refresh(tokens)) == "200"


def test_a_refreshed_token_names_the_audience_that_was_asked_for(stage: Stage) -> None:
    """One session gets tokens for each of its client's audiences, one at a time, and for no other."""
    tokens = stage.sign_in(stage.add_user("editor"))
    refreshed = Tokens.of(stage.try_refresh(tokens, audience=stage.issuer))
    assert refreshed.claims["aud"] == stage.issuer
    assert told(stage.try_refresh(refreshed, audience="elsewhere")) == "400 invalid_target"
