"""The log's lines: JSON for machines, plain for a person, and neither can be forged."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from watchword.authority.logs import set_up_logging


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Leave the process's logging as it was found."""
    handlers, level, ours = logging.root.handlers, logging.root.level, logging.getLogger("watchword").level
    yield
    logging.root.handlers = handlers
    logging.root.setLevel(level)
    logging.getLogger("watchword").setLevel(ours)


def test_a_line_is_one_json_object_with_its_extra_fields() -> None:
    """Time, level, logger, message, and what was given beside them; a line break stays inside."""
    stream = io.StringIO()
    set_up_logging("info", stream, as_json=True)
    logging.getLogger("watchword.audit").info("%s\n{}", "made", extra={"audit": {"actor": "ada"}, "time": "never"})
    line = json.loads(stream.getvalue())
    assert stream.getvalue().count("\n") == 1
    assert (line["level"], line["logger"], line["message"]) == ("info", "watchword.audit", "made\n{}")
    assert line["audit"] == {"actor": "ada"}
    assert line["time"].endswith("+00:00")


def test_an_exception_is_a_field() -> None:
    """The traceback is inside the object, and the line is still one."""
    stream = io.StringIO()
    set_up_logging("info", stream, as_json=True)
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("watchword").exception("failed")
    assert "ValueError: no" in json.loads(stream.getvalue())["error"]
    assert stream.getvalue().count("\n") == 1


def test_plain_lines_hold_no_control_characters() -> None:
    """Whoever signs in with a strange name cannot write a second line, or colours, into the log."""
    stream = io.StringIO()
    set_up_logging("info", stream, as_json=False)
    logging.getLogger("watchword").info("one\ntwo \x1b[31mred")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_others_are_quiet_below_warning() -> None:
    """Migrations and the HTTP server speak when something is wrong; our own lines obey the level."""
    stream = io.StringIO()
    set_up_logging("error", stream, as_json=True)
    for name in ("alembic.runtime.migration", "uvicorn.error", "watchword.audit"):
        logging.getLogger(name).info("in good order")
    assert stream.getvalue() == ""
