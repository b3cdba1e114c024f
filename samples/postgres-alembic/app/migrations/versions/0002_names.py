"""Fills the table."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    from seeds import COUNTRIES

    table = sa.table("country", sa.column("code"), sa.column("name"))
    op.bulk_insert(table, [{"code": code, "name": name} for code, name in COUNTRIES])


def downgrade() -> None:
    op.execute("delete from country")
