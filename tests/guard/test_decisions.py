"""The audit log: one line a decision, and never a token in it."""

import hashlib
import logging

import pytest
from tests.guard.world import World, ask

from watchword import Policy, Refused, anyone, errors, owner, role, signed_in
from watchword.guard.asgi import Receive, Scope, Send
from watchword.guard.decisions import Decision
from watchword.guard.exchange import Exchange

POLICY = Policy(("GET", "/health", anyone), ("GET", "/**", role("editor")))


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuses by ownership."""
    if scope["caller"]:
        scope["caller"].require(owner("bob"))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture(autouse=True)
def listen(caplog: pytest.LogCaptureFixture) -> None:
    """Listen."""
    caplog.set_level(logging.DEBUG, "watchword")


async def test_lines(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Who, what, rule, code, detail, decision and fingerprint; the answer names the decision."""
    token = world.token(roles=["editor"], session="s-1")
    answered = await ask(world.guard().asgi(app, POLICY), "/orders/1", token=token)
    first, second = (vars(record) for record in caplog.records)
    expected = {
        "code": "allowed",
        "method": "GET",
        "path": "/orders/1",
        "rule": "role editor",
        "subject": "ada",
        "client": "web",
        "session": "s-1",
        "detail": None,
        "fingerprint": hashlib.sha256(token.encode()).hexdigest()[:16],
        "levelno": logging.INFO,
        "name": "watchword.decisions",
    }
    assert first.items() >= expected.items()
    assert second.items() >= {"code": "not_permitted", "rule": "owner bob", "subject": "ada"}.items()
    assert first["decision"] == second["decision"] == answered.json["decision"]
    assert caplog.messages[0].startswith("allowed GET /orders/1 subject='ada' client='web'")
    assert caplog.messages[1].startswith("refused not_permitted GET /orders/1 subject='ada'")


async def test_a_refusal_names_its_rule(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever was refused, its line says which rule the request was under; where no row covers it, none."""
    wall = world.guard().asgi(app, POLICY)
    await ask(wall)
    await ask(wall, token=world.token())
    await ask(wall, method="POST", token=world.token())
    told = [(vars(record)["code"], vars(record)["rule"]) for record in caplog.records]
    assert told == [("no_token", "role editor"), ("not_permitted", "role editor"), ("no_rule", None)]
    assert [vars(record)["fingerprint"] is None for record in caplog.records] == [True, False, False]
    assert vars(caplog.records[0])["detail"] == "no Authorization field"


async def test_lines_of_a_token_seen_before(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Who it was is told each time, whichever way the token was found."""
    guard, token = world.guard(), world.token(roles=["editor"], session="s-1")
    for _ in range(2):
        await ask(guard.asgi(app, POLICY), "/orders/1", token=token)
        guard.verify(token)
    told = [record for record in map(vars, caplog.records) if record["code"] == "allowed"]
    assert len(told) == 4
    for line in told:
        assert (line["subject"], line["client"], line["session"]) == ("ada", "web", "s-1")
        assert line["fingerprint"] == hashlib.sha256(token.encode()).hexdigest()[:16]


def test_a_second_look_is_told_of_if_it_refuses(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """That nothing has changed is no news; what a rule says to the caller afterwards is."""
    guard = world.guard()
    caller = guard.recheck(guard.verify(world.token()))
    caller.require(signed_in)
    world.cut_off("user", "ada", "user_disabled")
    with pytest.raises(errors.UserDisabled):
        guard.recheck(caller)
    told = [(vars(record)["code"], vars(record)["method"]) for record in caplog.records]
    assert told == [("allowed", "verify"), ("allowed", "recheck"), ("user_disabled", "recheck")]


async def test_no_token_in_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """No line of any decision holds a token, or any part of one that could be used."""
    good, expired = world.token(roles=["editor"]), world.token(issued_at=world.wall_time - 5000)
    wall = world.guard().asgi(app, POLICY)
    for token in (good, expired, good + "x", good.rpartition(".")[0], "x" * 70_000):
        for path in ("/health", "/orders", f"/orders/{good}"):
            await ask(wall, path, token=token)
    world.cut_off("user", "ada", "user_disabled")
    await ask(wall, "/orders", token=good)
    everything = repr([vars(record) for record in caplog.records]) + caplog.text
    assert len(caplog.records) >= 16
    for part in good.split(".") + expired.split(".") + ["x" * 100]:
        assert part not in everything


async def test_a_cut_off_caller_is_named(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Whose token was verified is known, although it was refused; of an unverified one nothing is believed."""
    token = world.token()
    world.cut_off("user", "ada", "user_disabled")
    wall = world.guard().asgi(app, POLICY)
    await ask(wall, token=token)
    await ask(wall, token=token[:-6] + "AAAAAA")
    cut_off, unverified = (vars(record) for record in caplog.records)
    assert (cut_off["code"], cut_off["subject"]) == ("user_disabled", "ada")
    assert (unverified["subject"], unverified["client"]) == (None, None)


async def test_one_line_whatever_the_path_holds(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Control characters become harmless, and long paths are cut."""
    wall = world.guard().asgi(app, POLICY)
    await ask(wall, "/a\r\nallowed GET /admin\x1b[31m\u202e\u2028" + "z" * 5000, method="GE\nT")
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert record.getMessage().startswith("refused no_token GE\ufffdT /a\ufffd\ufffdallowed%20GET%20/admin\ufffd[31m")
    assert len(record.getMessage()) < 700


async def test_long_texts(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """200 characters are written whole; of more, the first 199 and a sign that there was more."""
    wall = world.guard().asgi(app, POLICY)
    for length in (200, 201, 300):
        await ask(wall, "/" + "z" * (length - 1))
    whole = "/" + "z" * 199
    assert [vars(record)["path"] for record in caplog.records] == [whole, whole[:-1] + "…", whole[:-1] + "…"]


async def test_a_token_in_a_path(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Where a path holds a token, its line says so."""
    await ask(world.guard().asgi(app, POLICY), "/orders/eyJhbGciOiJub25lIn0.e30.x/y")
    assert vars(caplog.records[0])["path"] == "/orders/[token]/y"


async def test_levels(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What strangers can cause is INFO, what is open to anyone DEBUG; a guard that knows too little is a WARNING."""
    wall = world.guard().asgi(app, POLICY)
    await ask(wall)
    await ask(wall, token="x.y.z")
    await ask(wall, "/health")
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.INFO, logging.DEBUG]
    world.forget_everything()
    await ask(wall, token=world.token())
    assert caplog.records[-1].levelno == logging.WARNING


async def test_a_refusal_of_the_app_has_its_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal that the app raised by itself is in the log once."""

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        raise errors.NotFound("no such order")

    await ask(world.guard().asgi(refusing, POLICY), token=world.token(roles=["editor"]))
    assert [vars(record)["code"] for record in caplog.records] == ["allowed", "not_found"]


async def test_each_refusal_has_one_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal that the app kept and raised later is not told again, though another was told since."""

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        kept = []
        for name in ("first", "second"):
            try:
                scope["caller"].require(role(name))
            except Refused as refusal:
                kept.append(refusal)
        raise kept[0]

    answered = await ask(world.guard().asgi(refusing, POLICY), token=world.token(roles=["editor"]))
    assert answered.json["missing"] == ["role first"]
    assert [vars(record)["rule"] for record in caplog.records] == ["role editor", "role first", "role second"]


def test_direct_use(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Tokens verified outside HTTP leave their lines, data tokens with their client."""
    guard = world.guard()
    guard.verify(world.token())
    with pytest.raises(Refused):
        guard.verify("x")
    guard.data(world.issuer.mint_data(client="b", audience="orders", data={}, position=world.head))
    with pytest.raises(Refused):
        guard.data(world.issuer.mint_data(client="b", audience="others", data={}, position=world.head))
    told = [(vars(r)["method"], vars(r)["code"], vars(r)["client"]) for r in caplog.records]
    assert told == [
        ("verify", "allowed", "web"),
        ("verify", "token_malformed", None),
        ("data", "allowed", "b"),
        ("data", "wrong_audience", None),
    ]
    assert {vars(record)["path"] for record in caplog.records} == {"-"}


async def test_silence(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A logger that is off costs no line, and the answer still names its decision."""
    caplog.set_level(logging.ERROR, "watchword.decisions")
    answered = await ask(world.guard().asgi(app, POLICY))
    assert not caplog.records
    assert answered.json["decision"]


def test_reprs_show_no_token(world: World) -> None:
    """What holds a request on its way shows none of it, should it end up in a traceback."""
    decision = Decision("GET", "/orders")
    decision.shown = b"Bearer " + world.token().encode()
    answer = Exchange(decision, "orders", {"headers": [(b"authorization", decision.shown)]}, None, None, False, None)  # type: ignore[arg-type]
    assert repr(decision) == "Decision('GET', '/orders')"
    assert repr(answer) == "Exchange(...)"
