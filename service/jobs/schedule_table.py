"""The table of schedules, in the job database. All times in it are the database's own, in milliseconds."""

import sqlalchemy as sa

SCHEDULES = sa.Table(
    "outfielder_schedules",
    sa.MetaData(),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    # Of the request, to know one that is sent again.
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("cron", sa.Text, nullable=False),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("train", sa.Text, nullable=False),
    sa.Column("source", sa.Text),
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("next_ms", sa.BigInteger),
    # Until then the process that has taken its turn may be at it.
    sa.Column("claimed_until_ms", sa.BigInteger),
    sa.Column("runs", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
