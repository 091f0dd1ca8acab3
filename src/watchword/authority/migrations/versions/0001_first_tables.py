"""The first tables, as they were made first: `schema` goes on, and later steps lead there from here."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Text,
    text,
)

revision = "0001"
down_revision = None

Number = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "head",
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
    )
    op.create_table(
        "entries",
        Column("position", Number, primary_key=True, autoincrement=False),
        Column("mark", String(32), nullable=False),
        Column("at", Float, nullable=False),
        Column("scope", String(16), nullable=False),
        Column("id", String(255), nullable=False),
        Column("reason", String(64), nullable=False),
    )
    op.create_index("entries_by_scope", "entries", ["scope", "id"])
    op.create_table(
        "secrets",
        Column("name", String(32), primary_key=True),
        Column("wrapped", LargeBinary, nullable=False),
    )
    op.create_table(
        "keys",
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
    for state in ("current", "next"):
        only = text(f"state = '{state}'")
        op.create_index(f"one_{state}_key", "keys", ["state"], unique=True, sqlite_where=only, postgresql_where=only)
    op.create_table(
        "audiences",
        Column("name", String(255), primary_key=True),
        Column("created_at", Float, nullable=False),
    )
    op.create_table(
        "clients",
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
    op.create_table(
        "client_audiences",
        Column("client", String(64), ForeignKey("clients.id", ondelete="CASCADE"), primary_key=True),
        Column("audience", String(255), ForeignKey("audiences.name"), primary_key=True),
    )
    op.create_table(
        "roles",
        Column("name", String(64), primary_key=True),
        Column("description", String(200), nullable=False, server_default=""),
    )
    op.create_table(
        "client_roles",
        Column("client", String(64), ForeignKey("clients.id", ondelete="CASCADE"), primary_key=True),
        Column("role", String(64), ForeignKey("roles.name", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
    )
    op.create_table(
        "users",
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
    op.create_table(
        "user_roles",
        Column("user", String(32), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        Column("role", String(64), ForeignKey("roles.name", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
    )
    op.create_table(
        "sessions",
        Column("id", String(32), primary_key=True),
        Column("user", String(32), ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        Column("client", String(64), ForeignKey("clients.id", ondelete="CASCADE"), nullable=False),
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
    op.create_index("ix_sessions_user", "sessions", ["user"])
    op.create_index("ix_sessions_client", "sessions", ["client"])
    op.create_table(
        "refresh_tokens",
        Column("hash", String(64), primary_key=True),
        Column("session", String(32), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
        Column("created_at", Float, nullable=False),
        Column("spent_at", Float),
        Column("successor", String(64)),
    )
    op.create_index("ix_refresh_tokens_session", "refresh_tokens", ["session"])
    op.create_table(
        "throttle",
        Column("key", String(200), primary_key=True),
        Column("failures", Integer, nullable=False),
        Column("last_at", Float, nullable=False),
        Column("until", Float, nullable=False),
    )
    op.create_table(
        "audit",
        Column("id", Number, primary_key=True, autoincrement=True),
        Column("at", Float, nullable=False),
        Column("actor", String(255), nullable=False),
        Column("action", String(64), nullable=False),
        Column("target", String(255), nullable=False),
        Column("outcome", String(64), nullable=False),
        Column("address", String(64), nullable=False, server_default=""),
        Column("detail", Text, nullable=False, server_default=""),
    )
