"""Minting, inspecting and verifying tokens."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.world import Run, Server, Watchword

Mint = Callable[..., str]


@pytest.fixture
def mint(database: Path, watchword: Watchword) -> Mint:
    """Mint a token for ada at orders."""
    for words in (("role", "add", "editor"), ("audience", "add", "orders"), ("user", "add", "ada", "--role", "editor")):
        assert watchword(*words).code == 0

    def run(*words: str) -> str:
        minted: str = watchword("token", "mint", "--audience", "orders", "--json", *words).answer["access_token"]
        return minted

    return run


def _verify(watchword: Watchword, token: str, *words: str) -> Run:
    return watchword("token", "verify", "--audience", "orders", *words, given=token + "\n")


def test_a_minted_token_stands_until_it_is_revoked(mint: Mint, watchword: Watchword) -> None:
    """The caller is shown; after a revocation the refusal's code is."""
    token = mint("--user", "ada", "--scope", "read")
    caller = _verify(watchword, token, "--json").answer
    assert (caller["roles"], caller["scopes"], caller["client"]) == (["editor"], ["read"], "watchword")
    assert caller["verified"] is caller["revocations_checked"] is True
    assert watchword("revoke", "token", caller["token_id"]).code == 0
    assert _verify(watchword, token, "--json").problem["code"] == "token_revoked"
    other = mint("--user", "ada")
    assert watchword("user", "disable", "ada").code == 0
    run = _verify(watchword, other)
    assert (run.code, run.out) == (1, "")
    assert "[user_disabled]" in run.err


def test_minting_is_in_the_audit_log(mint: Mint, watchword: Watchword) -> None:
    """Who minted for whom and which token, never the token itself."""
    token = mint("--user", "ada")
    lines = watchword("audit", "--action", "mint_token", "--json").answer["items"]
    assert [line["actor"] for line in lines] == ["operator"]
    assert "orders" in lines[0]["detail"]
    assert token not in json.dumps(lines)


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("--user", "nobody"), "user"),
        (("--client", "nobody"), "client"),
        (("--user", "ada", "--audience", "nowhere"), "audience"),
        (("--user", "ada", "--lifetime", "86400"), "lifetime"),
        (("--user", "ada", "--scope", 'a"b'), "scope"),
    ],
)
def test_what_must_not_be_minted_is_refused(
    mint: Mint, watchword: Watchword, words: tuple[str, ...], field: str
) -> None:
    """The field is named."""
    problem = watchword("token", "mint", "--audience", "orders", *words, "--json").problem
    assert (problem["code"], problem["field"]) == ("invalid_field", field)


def test_nobody_disabled_gets_a_token(mint: Mint, watchword: Watchword) -> None:
    """It would be younger than the cutoff of the disabling, and so stand."""
    assert watchword("user", "disable", "ada").code == 0
    assert watchword("token", "mint", "--user", "ada", "--audience", "orders").code == 1
    assert watchword("token", "mint", "--audience", "orders").code == 2


def test_inspecting_is_loud_about_what_it_is_not(mint: Mint, watchword: Watchword) -> None:
    """It verifies nothing, says so, and needs no database."""
    token = mint("--user", "ada")
    forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    run = watchword("token", "inspect", "-", given=forged + "\n")
    assert run.code == 0
    assert "UNVERIFIED" in run.err
    seen = watchword("token", "inspect", "--json", given=forged + "\n").answer
    assert seen["verified"] is False
    assert seen["payload"]["aud"] == "orders"
    assert _verify(watchword, forged, "--json").problem["code"] == "bad_signature"
    assert watchword("token", "inspect", "--json", given="no token\n").problem["code"] == "token_malformed"


def test_a_token_is_never_an_argument(mint: Mint, watchword: Watchword) -> None:
    """Standard input only, and no error repeats what came from there."""
    token = mint("--user", "ada")
    assert watchword("token", "inspect", token).code == 2
    assert watchword("token", "verify", "--audience", "orders", token).code == 2
    assert token not in _verify(watchword, token + "x").err


def test_with_url_the_published_keys_judge(
    mint: Mint, watchword: Watchword, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signature, issuer, audience and times; that revocations were not asked is said."""
    server = serve()
    monkeypatch.setenv("WATCHWORD_ISSUER", server.url)
    token = mint("--user", "ada")
    run = _verify(watchword, token, "--url", server.url)
    assert run.code == 0, run.err
    assert "not checked" in run.err
    assert _verify(watchword, token, "--url", server.url, "--json").answer["revocations_checked"] is False
    refused = _verify(watchword, token[:-6] + "AAAAAA", "--url", server.url, "--json")
    assert refused.problem["code"] == "bad_signature"


def test_a_command_that_was_told_another_issuer_is_refused(
    mint: Mint, watchword: Watchword, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would sign under a name that the running authority does not have."""
    mint("--user", "ada")
    monkeypatch.setenv("WATCHWORD_ISSUER", "http://127.0.0.1:1")
    run = watchword("token", "mint", "--user", "ada", "--audience", "orders", "--json")
    assert (run.code, run.problem["code"]) == (2, "settings")
