"""lessons hold back bands."""

import sqlalchemy as sa
from alembic import op

from storage.migrations import no_way_back as downgrade  # noqa: F401 Alembic looks for it by this name

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Empty in what is released already: nobody has looked at how many told the same.
    with op.batch_alter_table('lesson', schema=None) as batch_op:
        batch_op.add_column(sa.Column('seen_duration', sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column('seen_cost', sa.String(length=32), nullable=True))
        batch_op.add_column(sa.Column('seen_again', sa.String(length=32), nullable=True))
