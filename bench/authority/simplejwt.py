"""Django with djangorestframework-simplejwt: RS256-2048, rotation, the blacklist, and a durable SQLite file.

As a program: make the database and write refresh tokens. As a module: the WSGI application. Runs in an environment of
its own, so it imports nothing of ours. The folder is in the environment; its file ``key.pem`` is there before.
"""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import django
from django.conf import settings
from django.urls import path

_FOLDER = Path(os.environ["BENCH_FOLDER"])

settings.configure(
    SECRET_KEY="a-key-of-the-bench-that-signs-nothing",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "rest_framework_simplejwt",
        "rest_framework_simplejwt.token_blacklist",
    ],
    REST_FRAMEWORK={"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": _FOLDER / "db.sqlite3",
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
        }
    },
    SIMPLE_JWT={
        "ALGORITHM": "RS256",
        "SIGNING_KEY": (_FOLDER / "key.pem").read_text(),
        "VERIFYING_KEY": (_FOLDER / "public.pem").read_text(),
        "ACCESS_TOKEN_LIFETIME": timedelta(minutes=5),
        "ROTATE_REFRESH_TOKENS": True,
        "BLACKLIST_AFTER_ROTATION": True,
    },
)
django.setup()

from django.core.management import call_command  # noqa: E402 - after the settings
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from rest_framework_simplejwt.views import token_refresh  # noqa: E402

urlpatterns = [path("refresh", token_refresh), path("", lambda _: HttpResponse("ready"))]
application = get_wsgi_application()


def main(count: int) -> None:
    """Prepare the database."""
    from django.contrib.auth.models import User
    from rest_framework_simplejwt.tokens import RefreshToken

    call_command("migrate", verbosity=0)
    users = [User.objects.create(username=f"user-{number}") for number in range(count)]
    (_FOLDER / "tokens.json").write_text(json.dumps([str(RefreshToken.for_user(user)) for user in users]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
