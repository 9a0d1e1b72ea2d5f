"""Alembic migrations, run from Python: a service brings a folder with `versions/` and an `env.py` that calls `run_migrations`."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, text

from common.db.engine import transaction
from common.errors import WrongSetting

log = logging.getLogger(__name__)

#: Any number will do as long as all of us agree: two processes that migrate at once take turns.
TURN = 7_267_486


def migrate(engine: Engine, scripts: Path) -> tuple[str | None, str | None]:
    """Brings the schema to the newest revision; all of it or nothing. Answers the revisions (before, after).

    Raises WrongSetting for a database that these scripts do not know.
    """
    config = _config(scripts)
    scripts_there = ScriptDirectory.from_config(config)
    head, known = scripts_there.get_current_head(), {each.revision for each in scripts_there.walk_revisions()}
    with transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": TURN})
        before = _current(connection)
        if before is not None and before not in known:
            raise WrongSetting(
                "DATABASE_URL", f"the database is at {before}: it is another service's, or a newer release made it"
            )
        if before != head:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            log.info("migrated the database from %s to %s", before or "nothing", head)
    return before, head


def pending(engine: Engine, scripts: Path) -> bool:
    """Does the schema differ from the newest revision?"""
    with engine.connect() as connection:
        return _current(connection) != ScriptDirectory.from_config(_config(scripts)).get_current_head()


def run_migrations(context: EnvironmentContext, metadata: MetaData) -> None:
    """What an `env.py` does: run inside the transaction that `migrate` has begun."""
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
    context.run_migrations()


def _config(scripts: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
