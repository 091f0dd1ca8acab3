"""Root paths inside an app: where a router would see other paths than the wall around it."""

from typing import Final

_DEEPEST: Final = 32  # apps within apps; what nests without end is no structure of routes


def moved_root(app: object) -> str | None:
    """The first ``root_path`` inside an app that is not where the app is mounted; None if there is none.

    FastAPI and others put their own ``root_path`` in place of the scope's: to such a router alone, ``/v1/admin`` is
    ``/admin``. Seen are middlewares with ``app``, and mounts with ``path`` and ``app``; what hides its app hides it.
    """
    return _moved(app, "", 0, set())


def _moved(app: object, mounted: str, depth: int, seen: set[tuple[int, str]]) -> str | None:
    if app is None or depth > _DEEPEST or (id(app), mounted) in seen:
        return None
    seen.add((id(app), mounted))
    root, routes = getattr(app, "root_path", ""), getattr(app, "routes", None)
    if isinstance(root, str) and root not in ("", mounted):
        return root
    inside = [(getattr(app, "app", None), mounted)]
    inside += [
        (getattr(route, "app", None), mounted + getattr(route, "path", ""))
        for route in (routes if isinstance(routes, list) else [])
        if getattr(route, "routes", None) is not None  # a mount, not a handler
    ]
    return next(filter(None, (_moved(inner, place, depth + 1, seen) for inner, place in inside)), None)
