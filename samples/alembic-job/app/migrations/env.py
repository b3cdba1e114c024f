"""Connects Alembic to the database, or makes it write SQL."""

import os
from logging.config import fileConfig

from alembic import context
from sqlalchemy import create_engine

URL = os.environ["DATABASE_URL"]
fileConfig(context.config.config_file_name)

if context.is_offline_mode():
    context.configure(url=URL)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(URL).connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
