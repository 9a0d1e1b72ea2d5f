"""Run by Alembic, for `common.db.migrations`."""

from typing import Any, cast

from alembic import context

from common.db.migrations import run_migrations
from items.adapters.tables import TABLES

run_migrations(cast("Any", context), TABLES.metadata)
