"""Apps whose routers would see other paths than a wall around them."""

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route

from watchword.guard.roots import moved_root


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
    ],
)
def test_moved(app: object) -> None:
    """One whose own root path is not where it is mounted, however deep it is."""
    assert moved_root(app) == "/v1"


@pytest.mark.parametrize(
    "app",
    [
        None,
        at(""),
        CORSMiddleware(Starlette(routes=[Route("/v1", PlainTextResponse(""))])),
        Starlette(routes=[Mount("/api", routes=[Mount("/v1", app=at("/api/v1"))])]),
        Starlette(routes=[Mount("/api", routes=[Host("shop.example", app=at("/api"))])]),
        SimpleNamespace(routes=[SimpleNamespace(routes=[])]),
    ],
)
def test_settled(app: object) -> None:
    """None, or one that says where it is mounted."""
    assert moved_root(app) is None


def test_deep() -> None:
    """One below 32 others is found."""
    app: Any = at("/v1")
    for _ in range(32):
        app = CORSMiddleware(app)
    assert moved_root(app) == "/v1"


def test_once() -> None:
    """What stands at one place by several ways is looked into once, or a few dozen hosts would cost hours."""
    looks: list[object] = []

    class Counted:
        """An app that counts who asks."""

        @property
        def root_path(self) -> str:
            """None of its own."""
            looks.append(self)
            return ""

    app: Any = Counted()
    assert moved_root(Starlette(routes=[Host("a.example", app=app), Host("b.example", app=app)])) is None
    assert looks == [app]


def test_without_end() -> None:
    """What holds itself is looked into so far only."""
    wrapper: Any = CORSMiddleware(at(""))
    wrapper.app = wrapper
    assert moved_root(wrapper) is None
    mounting = Starlette()
    mounting.routes.extend([Mount("/a", app=mounting), Mount("/b", app=PlainTextResponse(""))])
    assert moved_root(mounting) is None
