"""``watchword guard``: the processes that follow the feed, and what they have confirmed."""

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from watchword.cli.api import Api, path
from watchword.cli.failures import failed
from watchword.cli.options import Group, State, pass_state

_PAUSE: Final = 0.1  # seconds between two questions whether all have confirmed
_Function = TypeVar("_Function", bound=Callable[..., Any])


@click.group("guard", cls=Group)
def guards() -> None:
    """The guards that follow this authority."""


@guards.command("list")
@pass_state
def list_guards(state: State) -> None:
    """List the guards of the last hour, and how far each is behind."""
    with state.api() as api:
        columns = ("client", "guard", "address", "position", "behind", "stale", "seen_at", "silent")
        state.show.listed(api.call("GET", path("guards")), columns)


def wait_options(function: _Function) -> _Function:
    """``--wait`` and ``--timeout`` for a command that revokes."""
    wait = click.option("--wait", is_flag=True, help="Wait until every guard has confirmed, and say how long it took.")
    most = click.FloatRange(0, min_open=True)
    timeout = click.option("--timeout", type=most, default=60.0, show_default=True, help="How many seconds to wait.")
    return wait(timeout(function))


def wait_for_receipts(api: Api, position: str, seconds: float) -> dict[str, Any]:
    """The receipts once every guard has confirmed or is closed; `Failed` after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        receipts: dict[str, Any] = api.call("GET", path("receipts"), query={"position": position})
        if receipts["done"]:
            return receipts
        if time.monotonic() > end:
            late = [f"{each['client']} {each['guard']}" for each in receipts["guards"] if each["state"] == "waiting"]
            raise failed("not_confirmed", f"It is revoked, but {told(receipts)}.", reason=f"waiting for {late[0]}")
        time.sleep(_PAUSE)


def told(receipts: dict[str, Any]) -> str:
    """Receipts in a few words."""
    text = f"{receipts['confirmed']} of {receipts['total']} guards"
    if receipts["milliseconds"] is not None:
        text += f", {receipts['milliseconds']:.0f} ms"
    if receipts["silent"]:
        text += f"; {receipts['silent']} silent for so long that they accept nothing"
    return text
