"""What cuts off tokens of other issuers: a table of cutoffs by time, and the floor below which they are forgotten."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String

revision = "0003"
down_revision = "0002"

Number = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Add the head's floor for other issuers and the table of their cutoffs."""
    with op.batch_alter_table("head") as head:
        head.add_column(Column("foreign_floor", Number, nullable=False, server_default="0"))
    op.create_table(
        "foreign_cutoffs",
        Column("position", Number, primary_key=True, autoincrement=False),
        Column("issuer", String(255), nullable=False),
        Column("scope", String(16), nullable=False),
        Column("id", String(255), nullable=False),
        Column("before", Number, nullable=False),
        Column("reason", String(64), nullable=False),
    )
    op.create_index("foreign_cutoffs_by_time", "foreign_cutoffs", ["before"])
