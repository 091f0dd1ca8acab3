"""The service: who may do what stands beside what is done.

Its settings are environment variables: ARTICLES_ISSUER (the authority), ARTICLES_MAX_STALENESS (seconds),
ARTICLES_DATABASE (an SQLite file), and WATCHWORD_CLIENT_ID and WATCHWORD_CLIENT_SECRET to follow the feed with.
"""

import logging
import os
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel

from examples.articles.store import Article, Articles
from watchword import Caller, Guard, owner, permission, role
from watchword.frameworks.fastapi import need, protect

guard = Guard(
    os.environ.get("ARTICLES_ISSUER", "http://127.0.0.1:8000"),
    audience="articles",
    roles={"editor": ["articles:write"], "architect": ["articles:publish"], "admin": ["articles:*"]},
    inherits={"architect": ["editor"], "admin": ["architect"]},
    max_staleness=timedelta(seconds=float(os.environ.get("ARTICLES_MAX_STALENESS", "30"))),
)
app = FastAPI(title="Articles", lifespan=guard.lifespan)
protect(app, guard, open=["/health", "/docs", "/openapi.json"])

SignedIn = Annotated[Caller, need()]
Editor = Annotated[Caller, need(role("editor"))]
Publisher = need(permission("articles:publish"))

articles = Articles(os.environ.get("ARTICLES_DATABASE", ":memory:"))
logging.basicConfig(format="articles: %(message)s")
logging.getLogger("watchword.decisions").setLevel(logging.INFO)  # one line for each decision, never the token


async def _found(number: int) -> Article:
    try:
        return articles.read(number)
    except KeyError:
        raise HTTPException(404, "no such article") from None


Found = Annotated[Article, Depends(_found)]


class Draft(BaseModel):
    """What an editor writes."""

    title: str
    body: str


@app.get("/health")
async def health() -> dict[str, str]:
    """Anyone may ask."""
    return {"status": "ok"}


@app.get("/me")
async def me(caller: SignedIn) -> dict[str, Any]:
    """Who the caller is, and what that means here."""
    return {
        "subject": caller.subject,
        "client": caller.client,
        "session": caller.session,
        "roles": sorted(caller.roles),
        "permissions": sorted(caller.permissions),
    }


@app.get("/articles")
async def list_articles() -> list[Article]:
    """All articles, for every caller: the wall asks for one, so that the handler need not."""
    return articles.all()


@app.get("/articles/{number}")
async def read_article(article: Found) -> Article:
    """One article."""
    return article


@app.post("/articles", status_code=201)
async def write_article(draft: Draft, caller: Editor) -> Article:
    """Editors write."""
    return articles.add(draft.title, draft.body, author=caller.subject)


@app.post("/articles/{number}/publish", dependencies=[Publisher])
async def publish_article(article: Found) -> Article:
    """Architects publish."""
    return articles.publish(article.id)


@app.delete("/articles/{number}", status_code=204)
async def delete_article(caller: SignedIn, article: Found) -> None:
    """Its author deletes an article, or an admin: a rule about the object, held where the object is known."""
    caller.require(owner(article.author) | role("admin"))
    articles.delete(article.id)
