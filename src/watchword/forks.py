"""Who has threads, locks or connections must begin anew in a forked child: there is none of the parent's threads."""

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something that hears of it, once in each child."""

    def _forked(self) -> None:
        """This is the child: let go of what is the parent's."""


_alive: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def tell_when_forked(one: Forkable) -> None:
    """Call its ``_forked`` in each child, as long as anybody else holds it."""
    _alive.add(one)


def _forked() -> None:
    for one in list(_alive):
        one._forked()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_forked)
