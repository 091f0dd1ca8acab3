"""Worlds to break, and a table of what each drill measured: ``make drills`` shows it."""

from collections.abc import Iterator

import pytest
from servers.postgres import Postgres
from tests.system.drills.drill import Drill
from tests.system.drills.world import World, open_world


@pytest.fixture(scope="session")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three replicas on one PostgreSQL, and five guards that know them all."""
    with (
        Postgres() as postgres,
        open_world(tmp_path_factory.mktemp("drills"), replicas=3, guards=5, postgres=postgres) as world,
    ):
        yield world


@pytest.fixture
def drill(request: pytest.FixtureRequest, replicated: World) -> Iterator[Drill]:
    """A drill that has begun, on PostgreSQL."""
    yield from _drill(request, replicated)


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One authority on SQLite, and two guards."""
    with open_world(tmp_path_factory.mktemp("drills"), replicas=1, guards=2) as world:
        yield world


@pytest.fixture
def small_drill(request: pytest.FixtureRequest, single: World) -> Iterator[Drill]:
    """A drill that has begun, on SQLite."""
    yield from _drill(request, single)


def _drill(request: pytest.FixtureRequest, world: World) -> Iterator[Drill]:
    drill = Drill(world)
    request.node.user_properties.append(("drill", drill.measured))
    try:
        drill.begin()
        yield drill
    finally:
        drill.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of all drills that came to an end."""
    rows = [
        (report.nodeid.rpartition("::test_")[2].replace("_", " "), dict(report.user_properties)["drill"])
        for report in terminalreporter.getreports("passed")
        if dict(report.user_properties).get("drill")
    ]
    if not rows:
        return
    columns = list(rows[0][1])
    width = max(len(name) for name, _ in rows)
    terminalreporter.section("drills")
    terminalreporter.line(" " * width + "".join(f"  {column}" for column in columns))
    for name, measured in rows:
        cells = "".join(f"  {measured.get(column, ''):>{len(column)}}" for column in columns)
        terminalreporter.line(f"{name:{width}}{cells}")
