"""Rules: what a caller must be or have."""

from datetime import timedelta

import pytest
from tests.guard.world import World

from watchword import Caller, Rule, anyone, owner, permission, role, scope, signed_in
from watchword.errors import NotPermitted


@pytest.fixture
def ada(world: World) -> Caller:
    """An editor with one permission and one scope."""
    guard = world.guard(roles={"editor": ["orders:write"]}, inherits={"chief": ["editor"]})
    return guard.verify(world.token(roles=["editor"], scope=["read"]))


@pytest.mark.parametrize(
    "rule",
    [
        role("editor"),
        permission("orders:write"),
        scope("read"),
        owner("ada"),
        signed_in,
        anyone,
        role("editor") & scope("read"),
        role("admin") | owner("ada"),
        (role("admin") | role("editor")) & permission("orders:write"),
    ],
    ids=str,
)
def test_satisfied(ada: Caller, rule: Rule) -> None:
    """What the caller has satisfies a rule."""
    assert rule.refusal(ada) is None
    ada.require(rule)


@pytest.mark.parametrize(
    ("rule", "missing"),
    [
        (role("admin"), ["role admin"]),
        (role("Editor"), ["role Editor"]),
        (permission("orders:delete"), ["permission orders:delete"]),
        (scope("write"), ["scope write"]),
        (owner("bob"), ["ownership"]),
        (owner(None), ["ownership"]),
        (role("editor") & permission("x:y"), ["permission x:y"]),
        (role("admin") & permission("x:y") & role("admin"), ["role admin", "permission x:y"]),
        (role("admin") | owner("bob"), ["role admin or ownership"]),
        (role("admin") | role("chief") & scope("all"), ["role admin or (role chief and scope all)"]),
        ((role("a") | role("b")) & role("c"), ["role a or role b", "role c"]),
    ],
    ids=str,
)
def test_missing(ada: Caller, rule: Rule, missing: list[str]) -> None:
    """A refusal names what is missing, and nothing of what the caller has or whose the object is."""
    refusal = rule.refusal(ada)
    assert isinstance(refusal, NotPermitted)
    assert refusal.public == {"missing": missing}
    assert refusal.sentence == f"This needs {' and '.join(missing)}."
    assert "bob" not in refusal.sentence
    assert str(rule) in refusal.detail
    with pytest.raises(NotPermitted):
        ada.require(rule)


def test_one_refusal_does_not_change_the_next(ada: Caller) -> None:
    """The sentence belongs to one refusal, not to its class."""
    assert role("admin").refusal(ada) is not None
    assert NotPermitted().sentence == "The caller is not allowed to do this."


def test_text() -> None:
    """The text for the audit log says how the parts combine."""
    rule = (role("a") | owner("u-1")) & scope("s") & signed_in
    assert str(rule) == "(role a or owner u-1) and scope s and signed in"
    assert str(role("a") | (scope("s") & role("b"))) == "role a or (scope s and role b)"


def test_rules_are_values() -> None:
    """Equal rules are equal, and hash alike."""
    assert role("a") & scope("b") == role("a") & scope("b")
    assert len({role("a"), role("a"), role("b"), permission("a")}) == 3


@pytest.mark.parametrize("make", [role, permission, scope])
@pytest.mark.parametrize("name", ["", "a b", "a\nb", None, 5, ["a"]])
def test_one_name(make: object, name: object) -> None:
    """A rule takes exactly one name."""
    assert callable(make)
    with pytest.raises(ValueError, match="one name"):
        make(name)
    with pytest.raises(TypeError):
        make()
    with pytest.raises(TypeError):
        make("a", "b")


def test_misuse() -> None:
    """What would mean something else than it says is an error where it is written."""
    with pytest.raises(TypeError, match="&"):
        bool(role("a"))  # what `and`, `or` and `not` ask for
    with pytest.raises(ValueError, match="alone"):
        anyone | role("a")
    with pytest.raises(ValueError, match="alone"):
        role("a") & anyone
    with pytest.raises(TypeError, match="rules only"):
        role("a") & "role b"  # type: ignore[operator]
    with pytest.raises(ValueError, match="pattern"):
        permission("orders:*")
    with pytest.raises(ValueError, match="empty"):
        owner("")
    with pytest.raises(TypeError, match="subject"):
        owner(17)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="more than 0"):
        role("a").within(timedelta())
    for bounded in (role("a").within(timedelta(seconds=2)), role("a").unsafely_accept_stale()):
        with pytest.raises(ValueError, match="come last"):
            bounded & role("b")
        with pytest.raises(ValueError, match="come last"):
            role("b") | bounded
        with pytest.raises(ValueError, match="already"):
            bounded.within(timedelta(seconds=2))
        with pytest.raises(ValueError, match="already"):
            bounded.unsafely_accept_stale()
    with pytest.raises(ValueError, match="no bound"):
        anyone.within(timedelta(seconds=2))
    with pytest.raises(ValueError, match="no bound"):
        anyone.unsafely_accept_stale()
