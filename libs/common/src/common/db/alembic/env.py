"""Run by Alembic for the migrations of every service, inside the transaction that `common.db.migrations.migrate` has begun."""

from typing import Any, cast

from alembic import context

environment = cast("Any", context)  # a module that stands for the environment under way
environment.configure(connection=environment.config.attributes["connection"])
environment.run_migrations()
