"""${message}."""

import sqlalchemy as sa
from alembic import op

from storage.migrations import no_way_back as downgrade  # noqa: F401 Alembic looks for it by this name

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
