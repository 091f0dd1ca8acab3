"""The articles, in one SQLite table. Nothing here knows of tokens: an author is a text like any other."""

import sqlite3
from dataclasses import dataclass

_TABLE = """
CREATE TABLE IF NOT EXISTS articles (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    author TEXT NOT NULL,
    published INTEGER NOT NULL DEFAULT 0
)
"""


@dataclass(frozen=True)
class Article:
    """An article; ``author`` is the subject of whoever wrote it."""

    id: int
    title: str
    body: str
    author: str
    published: bool


class Articles:
    """All articles; ``KeyError`` for one that does not exist."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute(_TABLE)

    def all(self) -> list[Article]:
        """Every article, the oldest first."""
        return [_article(row) for row in self._database.execute("SELECT * FROM articles ORDER BY id")]

    def read(self, number: int) -> Article:
        """The article of that number."""
        row = self._database.execute("SELECT * FROM articles WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise KeyError(number)
        return _article(row)

    def add(self, title: str, body: str, author: str) -> Article:
        """Write a new article."""
        values = (title, body, author)
        row = self._database.execute("INSERT INTO articles (title, body, author) VALUES (?, ?, ?) RETURNING *", values)
        return _article(row.fetchone())

    def publish(self, number: int) -> Article:
        """Publish an article; once more is harmless."""
        self._database.execute("UPDATE articles SET published = 1 WHERE id = ?", (number,))
        return self.read(number)

    def delete(self, number: int) -> None:
        """Remove an article."""
        self._database.execute("DELETE FROM articles WHERE id = ?", (number,))


def _article(row: tuple[int, str, str, str, int]) -> Article:
    number, title, body, author, published = row
    return Article(number, title, body, author, bool(published))
