"""Migrates to each of the revisions in turn, up or down."""

import os
import sys

from alembic import command
from alembic.config import Config

HERE = os.path.dirname(os.path.abspath(__file__))
config = Config()
config.set_main_option("script_location", f"{HERE}/migrations")
config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"])
for revision in sys.argv[1:]:
    (command.downgrade if revision == "base" else command.upgrade)(config, revision)
