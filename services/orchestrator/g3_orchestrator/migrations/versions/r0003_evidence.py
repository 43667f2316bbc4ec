"""Results say on what evidence and how sure; retrievals keep the points of the gallery.

Locks: ACCESS EXCLUSIVE on results and retrievals for an instant: nothing is rewritten or read.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = [
    """
    ALTER TABLE results
        ALTER COLUMN similarity DROP NOT NULL,
        ADD COLUMN evidence JSONB DEFAULT '{}' NOT NULL
    """,
    "ALTER TABLE retrievals ADD COLUMN gallery JSONB",
]


def upgrade() -> None:
    """Nothing is lost: results of before have no evidence beside their candidates."""
    for statement in STATEMENTS:
        op.execute(statement)
