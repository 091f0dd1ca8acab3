"""The tables. Times are seconds since 1970 by the database's clock; a cutoff is a number in the log, 0 for none."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

# A place in the log, or another number that only grows. SQLite's one kind of integer is as large.
Number = BigInteger().with_variant(Integer, "sqlite")

head = Table(
    "head",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("issuer", String(255), nullable=False),
    Column("instance", String(32), nullable=False),
    Column("epoch", String(32), nullable=False),
    Column("born", Float, nullable=False),
    Column("position", Number, nullable=False),
    Column("mark", String(32), nullable=False),
    Column("floor", Number, nullable=False),
    Column("cutoff", Number, nullable=False),
    Column("lifetime", Integer, nullable=False),
    Column("alarm", Text),
    Column("identity", String(64), nullable=False, server_default=""),
    Column("foreign_floor", Number, nullable=False, server_default="0"),
)

entries = Table(
    "entries",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=False),
    Column("mark", String(32), nullable=False),
    Column("at", Float, nullable=False),
    Column("scope", String(16), nullable=False),
    Column("id", String(255), nullable=False),
    Column("reason", String(64), nullable=False),
)

Index("entries_by_scope", entries.c.scope, entries.c.id)

foreign_cutoffs = Table(
    "foreign_cutoffs",
    metadata,
    Column("position", Number, primary_key=True, autoincrement=False),
    Column("issuer", String(255), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("id", String(255), nullable=False),
    Column("before", Number, nullable=False),
    Column("reason", String(64), nullable=False),
)

Index("foreign_cutoffs_by_time", foreign_cutoffs.c.before)

secrets = Table(
    "secrets",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("kid", String(64), primary_key=True),
    Column("algorithm", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("jwk", Text, nullable=False),
    Column("wrapped", LargeBinary),
    Column("created_at", Float, nullable=False),
    Column("changed_at", Float, nullable=False),
    Column("withdrawn", Number, nullable=False, server_default="0"),
)
# One key signs and one is next, whatever runs side by side.
for _state in ("current", "next"):
    _only = keys.c.state == _state
    Index(f"one_{_state}_key", keys.c.state, unique=True, sqlite_where=_only, postgresql_where=_only)

audiences = Table(
    "audiences",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("created_at", Float, nullable=False),
)

clients = Table(
    "clients",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("secret_hash", String(64)),
    Column("grants", Text, nullable=False),
    Column("scope", Text, nullable=False, server_default=""),
    Column("lifetime", Integer),
    Column("disabled", Integer, nullable=False, server_default="0"),
    Column("cutoff", Number, nullable=False, server_default="0"),
    Column("created_at", Float, nullable=False),
)

client_audiences = Table(
    "client_audiences",
    metadata,
    Column("client", ForeignKey(clients.c.id, ondelete="CASCADE"), primary_key=True),
    Column("audience", ForeignKey(audiences.c.name), primary_key=True),
)

roles = Table(
    "roles",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("description", String(200), nullable=False, server_default=""),
)

client_roles = Table(
    "client_roles",
    metadata,
    Column("client", ForeignKey(clients.c.id, ondelete="CASCADE"), primary_key=True),
    Column("role", ForeignKey(roles.c.name, ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
)

users = Table(
    "users",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("display_name", String(200), nullable=False, server_default=""),
    Column("password_hash", Text, nullable=False),
    Column("must_change", Integer, nullable=False, server_default="0"),
    Column("disabled", Integer, nullable=False, server_default="0"),
    Column("claims", Text, nullable=False, server_default="{}"),
    Column("cutoff", Number, nullable=False, server_default="0"),
    Column("cutoff_reason", String(64), nullable=False, server_default=""),
    Column("created_at", Float, nullable=False),
)

user_roles = Table(
    "user_roles",
    metadata,
    Column("user", ForeignKey(users.c.id, ondelete="CASCADE"), primary_key=True),
    Column("role", ForeignKey(roles.c.name, ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("user", ForeignKey(users.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("client", ForeignKey(clients.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("audience", String(255), nullable=False),
    Column("scope", Text, nullable=False, server_default=""),
    Column("label", String(100), nullable=False, server_default=""),
    Column("address", String(64), nullable=False, server_default=""),
    Column("created_at", Float, nullable=False),
    Column("used_at", Float, nullable=False),
    Column("epoch", String(32), nullable=False),
    Column("number", Number, nullable=False),
    Column("cutoff", Number, nullable=False, server_default="0"),
    Column("cutoff_reason", String(64), nullable=False, server_default=""),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("session", ForeignKey(sessions.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", Float, nullable=False),
    Column("spent_at", Float),
    Column("successor", String(64)),
)

throttle = Table(
    "throttle",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", Float, nullable=False),
    Column("until", Float, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(255), nullable=False),
    Column("outcome", String(64), nullable=False),
    Column("address", String(64), nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
)

followers = Table(
    "followers",
    metadata,
    Column("client", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("address", String(64), nullable=False),
    Column("stale", Float, nullable=False),
    Column("epoch", String(32), nullable=False),
    Column("number", Number, nullable=False),
    Column("confirmed_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
)
