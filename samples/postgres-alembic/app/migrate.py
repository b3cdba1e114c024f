"""Migrates to each of the revisions in turn, up or down."""

import os
import sys

from alembic import command
from alembic.config import Config

HERE = os.path.dirname(os.path.abspath(__file__))
config = Config()
config.set_main_option("script_location", f"{HERE}/migrations")
config.set_main_option("sqlalchemy.url", "postgresql://postgres@127.0.0.1:18109/postgres")
for revision in sys.argv[1:]:
    (command.downgrade if revision == "base" else command.upgrade)(config, revision)
