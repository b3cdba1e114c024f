"""What the table holds."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    table = sa.table("country", sa.column("code", sa.String), sa.column("name", sa.Text))
    op.bulk_insert(table, [{"code": "de", "name": "Germany"}, {"code": "jp", "name": "Japan"}])


def downgrade() -> None:
    op.execute("delete from country")
