"""Policies: rows by method and path; what no row covers is nobody's."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchword import Policy, Rule, anyone, role, signed_in
from watchword.guard.paths import Pattern, has_one_reading, route_path

SHOP = Policy(
    ("GET", "/health", anyone),
    ("GET", "/orders/{id}", signed_in),
    ("POST", "/orders", role("editor")),
    ("GET", "/files/{owner}/raw/{name}", signed_in),
    ("*", "/admin/**", role("admin")),
    ("GET", "/{page}", role("reader")),
)


def test_rows() -> None:
    """A policy gives its rows back as they were written, for whoever builds on it."""
    assert Policy(*SHOP.rows).rows == SHOP.rows
    assert SHOP.rows[0] == ("GET", "/health", anyone)
    assert repr(Policy(*SHOP.rows[:2])) == "Policy(('GET', '/health', anyone), ('GET', '/orders/{id}', signed in))"


@pytest.mark.parametrize(
    ("method", "path", "rule"),
    [
        ("GET", "/health", anyone),
        ("HEAD", "/health", anyone),
        ("GET", "/orders/17", signed_in),
        ("HEAD", "/orders/17", signed_in),
        ("POST", "/orders", role("editor")),
        ("GET", "/files/ada/raw/x", signed_in),
        ("GET", "/admin", role("admin")),
        ("DELETE", "/admin/", role("admin")),
        ("OPTIONS", "/admin/x/y/z", role("admin")),
        ("GET", "/adminx", role("reader")),
        ("GET", "/other", role("reader")),
        ("GET", "/ö", role("reader")),
    ],
)
def test_first_row(method: str, path: str, rule: Rule) -> None:
    """The first row from the top that matches is the rule."""
    assert SHOP.rule(method, path) == rule


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/health"),
        ("OPTIONS", "/orders"),
        ("get", "/health"),
        ("", "/health"),
        ("*", "/health"),
        ("GET", ""),
        ("GET", "/"),
        ("GET", "health"),
        ("GET", "/health/"),
        ("GET", "/orders/"),
        ("GET", "/orders/1/2"),
        ("GET", "/Health/x"),
        ("GET", "//health"),
        ("GET", "/orders//1"),
        ("GET", "/orders/."),
        ("GET", "/orders/.."),
        ("GET", "/orders/../health"),
        ("GET", "/./health"),
        ("GET", "/admin/../health"),
        ("GET", "/admin//x"),
        ("GET", "/orders/1;v=2"),
        ("GET", "/orders\\1"),
        ("GET", "/orders/1\n"),
        ("GET", "/orders/\x00"),
        ("GET", "/orders/\x85"),
    ],
)
def test_no_row(method: str, path: str) -> None:
    """Other methods, other paths and paths with several readings match no row."""
    assert SHOP.rule(method, path) is None


def test_a_path_begins_with_a_slash() -> None:
    """What does not is no path, and has no reading at all."""
    assert has_one_reading("/orders")
    for path in ("", "orders", " /orders", "*"):
        assert not has_one_reading(path)


def test_names_with_dots_are_names() -> None:
    """Only whole dot segments have two readings."""
    for name in ("...", ".env", "a..b", "..a", "a."):
        assert SHOP.rule("GET", f"/orders/{name}") is signed_in


def test_everything() -> None:
    """``/**`` is every path there is, but none with several readings."""
    all_ = Policy(("*", "/**", signed_in))
    assert all_.rule("GET", "/") is signed_in
    assert all_.rule("PATCH", "/a/b/") is signed_in
    assert all_.rule("GET", "//") is None
    assert Policy().rule("GET", "/") is None


ODD = [
    "/{}",
    "/{a",
    "/a}",
    "/x{id}",
    "/{id}x",
    "/{id:int}",
    "/{a-b}",
    "/*",
    "/a/*",
    "/**/a",
    "/a**",
    "/a//b",
    "//**",
    "/a//**",
    "/a/../b",
    "/.",
    "/a;b",
    "/a\\b",
    "/a?b=1",
    "/a#b",
    "/a%20b",
    "orders",
]


@pytest.mark.parametrize("pattern", ["", "/a\n", *ODD])
def test_odd_patterns(pattern: str) -> None:
    """A pattern that could be meant otherwise, or could never match, is an error where it is written."""
    with pytest.raises(ValueError, match="pattern"):
        Policy(("GET", pattern, signed_in))


@pytest.mark.parametrize(
    "row", [("get", "/a", signed_in), ("HEAD", "/a", signed_in), ("", "/a", signed_in), ("GET,POST", "/a", signed_in)]
)
def test_odd_methods(row: tuple[str, str, Rule]) -> None:
    """A method that no request will have is an error."""
    with pytest.raises(ValueError, match="method"):
        Policy(row)


@pytest.mark.parametrize("row", [("GET", "/a"), ("GET", "/a", "admin"), ("GET", "/a", role), ["GET", "/a", signed_in]])
def test_odd_rows(row: tuple[str, str, Rule]) -> None:
    """A row is a method, a path and a rule."""
    with pytest.raises(TypeError):
        Policy(row)


def test_a_row_that_can_never_be_reached() -> None:
    """Two rows for the same method and path contradict each other."""
    with pytest.raises(ValueError, match="two rows"):
        Policy(("GET", "/a", signed_in), ("GET", "/a", role("x")))


@pytest.mark.parametrize(
    ("path", "root", "seen"),
    [
        ("/orders", "", "/orders"),
        ("/api/orders", "/api", "/orders"),
        ("/api", "/api", ""),
        ("/apiadmin", "/api", "/apiadmin"),
        ("/orders", "/api", "/orders"),
        ("/api/x", "/api/", "/api/x"),
        ("/api/api/x", "/api", "/api/x"),
        (b"/x", "", None),
        ("/x", None, None),
        (None, "", None),
    ],
)
def test_route_path(path: object, root: object, seen: str | None) -> None:
    """The path is what is left below the root path, where a segment ends."""
    assert route_path({"path": path, "root_path": root}) == seen


def test_route_path_is_the_routers_own() -> None:
    """It is what Starlette's router computes, for every pair of these."""
    from starlette._utils import get_route_path

    for root in ("", "/", "/a", "/a/", "/a/b", "a"):
        for path in ("", "/", "/a", "/a/", "/ab", "/a/b", "/a/b/c", "//a", "/aa/b", "a/b"):
            scope = {"path": path, "root_path": root}
            assert route_path(scope) == get_route_path(scope), scope


def test_texts() -> None:
    """A policy and a pattern show themselves."""
    assert "('GET', '/health', anyone)" in repr(SHOP)
    assert repr(Pattern("/a/{b}")) == "Pattern('/a/{b}')"


# -- The index, against its definition: row by row from the top

_PARTS = st.sampled_from(["a", "b", "orders"])
_PATTERNS = st.builds(
    lambda parts, end: "/" + "/".join(parts) + end if parts else end or "/",
    st.lists(_PARTS | st.sampled_from(["{id}", "{name}"]), max_size=4),
    st.sampled_from(["", "", "/**"]),
)
_ROWS = st.lists(
    st.tuples(st.sampled_from(["GET", "POST", "*"]), _PATTERNS),
    unique_by=lambda row: row,
    max_size=12,
)
_PATHS = st.builds(lambda parts: "/" + "/".join(parts), st.lists(_PARTS | st.just("x"), max_size=5))


def _matches(pattern: Pattern, path: str) -> bool:
    given, wanted = path.split("/")[1:], pattern.segments
    if len(given) < len(wanted) or (len(given) > len(wanted) and not pattern.rest):
        return False
    return all(part == want if want is not None else part for part, want in zip(given, wanted, strict=False))


@given(_ROWS, st.sampled_from(["GET", "POST", "HEAD", "PUT", "*"]), _PATHS, st.sampled_from(["", "/"]))
@settings(max_examples=500, deadline=None)
def test_the_first_row_that_matches_decides(rows: list[tuple[str, str]], method: str, path: str, end: str) -> None:
    """Whatever the rows, their order and the path: the index finds what reading from the top finds."""
    path = path if path == "/" else path + end
    rules = [role(f"r{number}") for number in range(len(rows))]
    policy = Policy(*((verb, pattern, rule) for (verb, pattern), rule in zip(rows, rules, strict=True)))
    judged = "GET" if method == "HEAD" else method
    read = (
        rule
        for (verb, pattern), rule in zip(rows, rules, strict=True)
        if verb in (judged, "*") and _matches(Pattern(pattern), path)
    )
    assert policy.rule(method, path) is next(read, None)


def test_a_long_table_is_not_read_row_by_row() -> None:
    """The last of 1,000 rows takes as many steps as the last of 10."""

    def steps(size: int, pattern: str, path: str) -> int:
        policy = Policy(*(("GET", pattern.format(number), role("x")) for number in range(size)))
        found = 0

        def count(*_: object) -> None:
            nonlocal found
            found += 1

        before = sys.getprofile()
        sys.setprofile(count)
        try:
            assert policy.rule("GET", path.format(size - 1)) is not None
        finally:
            sys.setprofile(before)
        return found

    for pattern, path in (("/r{0}", "/r{0}"), ("/r{0}/{{id}}", "/r{0}/1"), ("/r{0}/**", "/r{0}/a/b")):
        assert steps(10, pattern, path) == steps(1000, pattern, path)
