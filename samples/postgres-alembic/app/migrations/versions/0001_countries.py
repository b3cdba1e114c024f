"""Makes the table."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "country", sa.Column("code", sa.String(2), primary_key=True), sa.Column("name", sa.Text)
    )


def downgrade() -> None:
    op.drop_table("country")
