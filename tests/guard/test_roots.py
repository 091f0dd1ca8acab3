"""Apps whose routers would see other paths than a wall around them."""

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router

from watchword.guard.roots import check_roots


def at(root: str) -> FastAPI:
    """An app with that root path."""
    app = FastAPI()
    app.root_path = root
    return app


@pytest.mark.parametrize(
    "app",
    [
        at("/v1"),
        CORSMiddleware(at("/v1")),
        Starlette(routes=[Route("/", PlainTextResponse("")), Mount("/", app=at("/v1"))]),
        Starlette(routes=[Mount("/api", routes=[Mount("/shop", app=CORSMiddleware(at("/v1")))])]),
        Starlette(routes=[Mount("/api", app=at("/api")), Mount("/v2", app=at("/v1"))]),
        Starlette(routes=[Host("shop.example", app=at("/v1"))]),
        Starlette(routes=[Route("/{path:path}", endpoint=at("/v1"))]),
        Router(default=at("/v1")),
        SimpleNamespace(routes=(SimpleNamespace(path=5, app=at("/v1")),)),
    ],
)
def test_moved(app: object) -> None:
    """One whose own root path is not where it is mounted, however deep it is."""
    with pytest.raises(ValueError, match="/v1"):
        check_roots(app)


@pytest.mark.parametrize(
    "app",
    [
        None,
        at(""),
        CORSMiddleware(Starlette(routes=[Route("/v1", PlainTextResponse(""))])),
        Starlette(routes=[Mount("/api", routes=[Mount("/v1", app=at("/api/v1"))])]),
        Starlette(routes=[Mount("/api", routes=[Host("shop.example", app=at("/api"))])]),
        SimpleNamespace(root_path=5, routes=[SimpleNamespace(routes=[])]),
    ],
)
def test_settled(app: object) -> None:
    """None, or one that says where it is mounted."""
    check_roots(app)


def test_deep() -> None:
    """One below 32 others is found."""
    app: Any = at("/v1")
    for _ in range(32):
        app = CORSMiddleware(app)
    with pytest.raises(ValueError, match="/v1"):
        check_roots(app)


def test_below_a_root() -> None:
    """An app around may have a root path, to which mounts are added."""
    app = Starlette(routes=[Mount("/sub", app=at("/v1/sub"))])
    check_roots(app, "/v1")
    with pytest.raises(ValueError, match="/v1/sub"):
        check_roots(app)


def test_any_name() -> None:
    """An app that has every attribute, and so has each of them, is looked into once for each step."""
    looks: list[str] = []

    class Anything:
        """Has whatever it is asked for."""

        def __getattr__(self, name: str) -> Any:
            looks.append(name)
            return Anything()

    check_roots(Anything())
    assert len(looks) < 200


def test_without_end() -> None:
    """What holds itself is looked into so far only."""
    wrapper: Any = CORSMiddleware(at(""))
    wrapper.app = wrapper
    check_roots(wrapper)
    mounting = Starlette()
    mounting.routes.extend([Mount("/a", app=mounting), Mount("/b", app=PlainTextResponse(""))])
    check_roots(mounting)
