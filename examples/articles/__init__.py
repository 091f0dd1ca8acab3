"""The example service: a small API of articles, protected by Watchword."""

from examples.articles.app import app

__all__ = ["app"]
