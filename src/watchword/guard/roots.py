"""Root paths inside an app: where a router would see other paths than the wall around it."""

from collections.abc import Iterator
from typing import Final

_DEEPEST: Final = 32  # apps within apps; what nests without end is no structure of routes


def check_roots(app: object, root: str = "") -> None:
    """See that every router inside an app sees the paths that a wall around it judges; ``ValueError`` otherwise.

    FastAPI and others put their own ``root_path`` in place of the scope's: to such a router alone, ``/v1/admin`` is
    ``/admin``. So each must be where it is mounted below ``root``. Seen are middlewares with ``app``, routers with
    ``routes`` and ``default``, and their mounts and endpoints; an app that is hidden in another way stays hidden.
    """
    for found, mounted in _roots(app, root, ()):
        if found not in ("", mounted):
            raise ValueError(f"an app inside sets its own root_path, {found!r}: its router would see other paths")


def _roots(app: object, mounted: str, around: tuple[object, ...]) -> Iterator[tuple[str, str]]:
    """The root path of each app inside that has one, and where it is mounted."""
    if app is None or len(around) > _DEEPEST or any(app is outer for outer in around):
        return
    root = getattr(app, "root_path", "")
    if isinstance(root, str):
        yield root, mounted
    within, routes = (*around, app), getattr(app, "routes", None)
    yield from _roots(getattr(app, "app", None), mounted, within)
    if not isinstance(routes, list | tuple):
        return  # no router: where any name is an attribute, two to follow would double the work at each step
    yield from _roots(getattr(app, "default", None), mounted, within)
    for route in routes:
        path = getattr(route, "path", "")
        mount = getattr(route, "routes", None) is not None
        place = mounted + path if mount and isinstance(path, str) else mounted
        yield from _roots(getattr(route, "app", None), place, within)
