"""The authority's settings: one struct, read from the command line, the environment, a file, or left at its default."""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from watchword.core.algorithms import ALGORITHMS
from watchword.core.claims import REGISTERED

PREFIX: Final = "WATCHWORD_"
_SQLITE: Final = "sqlite:///"
FILE_NAME: Final = "watchword.toml"
# Read by services that use the authority, not by the authority itself: known, so not taken for a misprint.
_OTHERS: Final = frozenset({"CLIENT_ID", "CLIENT_SECRET", "CLIENT_SECRET_FILE", "TOKEN"})

Days = Annotated[int, Meta(ge=1, le=3650)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class SettingsError(ValueError):
    """The settings cannot be used; the text names the setting and never a secret."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every setting of the authority, with its default. Times are in seconds unless the name says otherwise."""

    issuer: str = ""
    """The name in every token and the address where services reach the authority: https beyond loopback.

    Empty: the one that the database was served with last, and for a new one the loopback address and `port`.
    """
    database: str = "sqlite:///watchword.db"
    """Where everything is kept: ``sqlite:///`` and a file, or the ``postgresql://`` URL of a server."""
    database_direct: str = ""
    """The PostgreSQL server itself, where `database` leads to a pooler that hands out connections by transaction."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Port = 8000
    """The port to listen on; 0 takes a free one."""
    secret: str = ""
    """The secret that wraps the signing keys: at least 32 characters. Empty: `secret_file` is used."""
    previous_secret: str = ""
    """The secret before this one, for `watchword secret rotate` where the secret is not in a file."""
    secret_file: str = ""
    """The file that holds the secret, made with mode 0600 if it is missing. Empty: beside the database."""
    algorithm: str = "RS256"
    """What signing keys are made for."""
    rotate_days: Annotated[int, Meta(ge=0, le=3650)] = 90
    """After how many days the next key signs by itself. 0: only when it is told to."""
    jwks_cache_seconds: Annotated[int, Meta(ge=0, le=86400)] = 300
    """How long anybody may keep the JWK Set; for so long, at the least, is a next key published before it signs."""
    access_lifetime: Annotated[int, Meta(ge=1, le=3600)] = 300
    """How long an access token lives where its client says nothing else."""
    max_lifetime: Annotated[int, Meta(ge=60, le=86400)] = 3600
    """The longest that any token may live; guards must accept it (their `max_lifetime`)."""
    foreign_lifetime: Annotated[int, Meta(ge=60, le=31536000)] = 86400
    """The longest that a token of another issuer may live: after that, what revoked it is forgotten.

    No guard may accept longer ones (its `max_lifetime`): such tokens are refused once a cutoff is forgotten.
    """
    data_lifetime: Annotated[int, Meta(ge=1, le=3600)] = 60
    """How long a data token lives."""
    refresh_days: Days = 14
    """How many days a refresh token may lie unused."""
    session_days: Days = 90
    """After how many days a session ends even if it is used."""
    refresh_grace: Annotated[int, Meta(ge=0, le=60)] = 10
    """How long a spent refresh token may come again from another tab without ending the session."""
    claims: list[str] = []
    """The names of an operator's own claims that users may carry into access tokens."""
    open_feed: bool = False
    """Whether anybody may follow the feed. False: clients with the grant `feed` only."""
    lossless_failover: bool = False
    """Whether a PostgreSQL standby that takes over has all that was acknowledged (synchronous replication)."""
    auto_recover: bool = False
    """Whether a new epoch begins by itself once history is found to be lost. False: the feed stays closed till then."""
    sessions_survive: bool = False
    """Whether refresh tokens outlive a new epoch; those that were revoked in the lost part of history live again."""
    password_min_length: Annotated[int, Meta(ge=8, le=128)] = 12
    """The fewest characters of a new password."""
    password_memory_kib: Annotated[int, Meta(ge=8, le=1048576)] = 19456
    """The memory that hashing one password takes (Argon2id)."""
    password_rounds: Annotated[int, Meta(ge=1, le=100)] = 2
    """The passes over that memory."""
    password_queue: Annotated[int, Meta(ge=1, le=10000)] = 32
    """How many sign-ins may wait for a processor before the next one is told to come again."""
    body_limit: Annotated[int, Meta(ge=1024, le=16777216)] = 65536
    """The largest body of a request, in bytes."""
    cors_origins: list[str] = []
    """The origins of pages that may call the authority from a browser."""
    forwarded_allow_ips: str = ""
    """The proxies whose X-Forwarded-For is believed, as a list with commas. Empty: none."""
    unsafely_allow_plain_http: bool = False
    """Whether the issuer may be reached over plain http beyond loopback, where anybody on the way can read tokens."""
    log_level: str = "info"
    """debug, info, warning or error."""

    def __post_init__(self) -> None:
        if self.issuer:
            self._check_issuer()
        self._check_tokens()
        if not self.database.startswith(("sqlite:///", "postgresql://")):
            raise SettingsError("database: a URL that starts with sqlite:/// or postgresql:// is needed")
        if self.database_direct and not self.database_direct.startswith("postgresql://"):
            raise SettingsError("database_direct: a URL that starts with postgresql:// is needed")
        for name in ("secret", "previous_secret"):
            if 0 < len(getattr(self, name)) < 32:
                raise SettingsError(f"{name}: at least 32 characters are needed")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise SettingsError("log_level: debug, info, warning or error")

    def _check_issuer(self) -> None:
        parts = urlsplit(self.issuer)
        decorated = parts.query or parts.fragment or parts.username
        if parts.scheme not in ("http", "https") or not parts.hostname or decorated:
            raise SettingsError("issuer: an http(s) address without query, fragment and user is needed")
        if parts.scheme == "http" and not self.unsafely_allow_plain_http and not _is_loopback(parts.hostname):
            raise SettingsError("issuer: https is needed beyond loopback")
        if len(self.issuer) > 255:
            raise SettingsError("issuer: at most 255 characters are kept")
        if self.issuer.endswith("/"):
            raise SettingsError("issuer: write it without a slash at its end")

    def _check_tokens(self) -> None:
        if self.access_lifetime > self.max_lifetime or self.data_lifetime > self.max_lifetime:
            raise SettingsError("max_lifetime: no other lifetime may be longer")
        if self.algorithm not in ALGORITHMS:
            raise SettingsError(f"algorithm: one of {', '.join(ALGORITHMS)}")
        if taken := REGISTERED.intersection(self.claims):
            raise SettingsError(f"claims: these have a meaning already: {', '.join(sorted(taken))}")

    def __repr__(self) -> str:
        return f"Settings(issuer={self.issuer!r}, database={self.shown()['database']!r})"

    def shown(self) -> dict[str, Any]:
        """All settings for a person to read, secrets left out."""
        values = msgspec.structs.asdict(self)
        for name in ("secret", "previous_secret"):
            values[name] = "(set)" if values[name] else ""
        for name in ("database", "database_direct"):
            values[name] = _without_password(values[name])
        return values

    @property
    def database_name(self) -> str:
        """The database as people call it: its file, or its URL without the password."""
        return _without_password(self.database).removeprefix(_SQLITE)

    def beside(self, suffix: str) -> Path:
        """A file that belongs to the database: beside the SQLite file, or in the current folder."""
        shared = self.database.startswith("postgresql://")
        return Path(f"watchword{suffix}") if shared else Path(self.database.removeprefix(_SQLITE)).with_suffix(suffix)

    @property
    def secret_path(self) -> Path:
        """The file of the secret."""
        return Path(self.secret_file) if self.secret_file else self.beside(".secret")


def _without_password(url: str) -> str:
    """A database's URL for people to read; a password may stand in its query too (RFC 3986 section 3.2.1)."""
    password = urlsplit(url).password
    shown = url.replace(f":{password}@", ":(hidden)@") if password else url
    return re.sub(r"([?&](?:ssl)?password=)[^&]*", r"\1(hidden)", shown)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(
    given: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """Read the settings; what is ``given`` wins over ``WATCHWORD_*`` over the file over the defaults.

    ``WATCHWORD_<NAME>_FILE`` names a file that holds the value. An unknown name is refused with a hint, since a
    misprint in a setting of security must not pass for its default. Raises `SettingsError`.
    """
    values: dict[str, object] = {}
    for _, layer in _layers(given, environ, file):
        values |= layer
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as why:
        if isinstance(why.__cause__, SettingsError):
            raise why.__cause__ from None
        raise SettingsError(str(why).replace("`$.", "`")) from None


def origins(
    given: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> dict[str, str]:
    """Where each setting that is not at its default comes from; the arguments are those of `load_settings`."""
    return {name: where for where, layer in _layers(given, environ, file) for name in layer}


def _layers(
    given: Mapping[str, object] | None, environ: Mapping[str, str] | None, file: Path | None
) -> list[tuple[str, dict[str, object]]]:
    """What each source says, the weakest first."""
    return [
        (str(file or FILE_NAME), _from_file(file)),
        ("environment", _from_environment(os.environ if environ is None else environ)),
        ("command line", {name: value for name, value in (given or {}).items() if value is not None}),
    ]


def _from_file(file: Path | None) -> dict[str, object]:
    path = Path(FILE_NAME) if file is None else file
    if file is None and not path.exists():
        return {}
    try:
        values: dict[str, object] = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as why:
        raise SettingsError(f"{path}: cannot be read: {why}") from None
    for name in values:
        _check_known(name, str(path))
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for variable, text in environ.items():
        name = variable.removeprefix(PREFIX)
        if name == variable or name in _OTHERS or _set_by_kubernetes(name):
            continue
        if name.endswith("_FILE") and name.lower() not in Settings.__struct_fields__:
            name, text = name.removesuffix("_FILE"), _file_content(variable, text)
        _check_known(name.lower(), variable)
        listed = name.lower() in ("claims", "cors_origins")
        values[name.lower()] = [part.strip() for part in text.split(",") if part.strip()] if listed else text
    return values


def _set_by_kubernetes(name: str) -> bool:
    """For a service named watchword Kubernetes sets WATCHWORD_SERVICE_HOST, WATCHWORD_PORT_80_TCP and the like."""
    return name.startswith(("SERVICE_", "PORT_")) or "_SERVICE_" in name


def _file_content(variable: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").rstrip("\n")
    except (OSError, ValueError):
        raise SettingsError(f"{variable}: the file that it names cannot be read") from None


def _check_known(name: str, where: str) -> None:
    if name in Settings.__struct_fields__:
        return
    close = difflib.get_close_matches(name, Settings.__struct_fields__, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise SettingsError(f"{where}: there is no setting {name}{hint}")
