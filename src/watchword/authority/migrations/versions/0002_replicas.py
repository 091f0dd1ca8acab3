"""What replicas need: which database server the log was written on, and how far each guard has come."""

from alembic import op
from sqlalchemy import BigInteger, Column, Float, Integer, String

revision = "0002"
down_revision = "0001"

Number = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Add the head's identity and the table of followers."""
    with op.batch_alter_table("head") as head:
        head.add_column(Column("identity", String(64), nullable=False, server_default=""))
    op.create_table(
        "followers",
        Column("client", String(64), primary_key=True),
        Column("name", String(64), primary_key=True),
        Column("address", String(64), nullable=False),
        Column("stale", Float, nullable=False),
        Column("epoch", String(32), nullable=False),
        Column("number", Number, nullable=False),
        Column("confirmed_at", Float, nullable=False),
        Column("seen_at", Float, nullable=False),
    )
