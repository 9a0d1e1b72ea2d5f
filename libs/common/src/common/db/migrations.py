"""Alembic migrations, run from Python: a service brings a folder with `versions/`."""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from common.db.engine import transaction
from common.errors import WrongSetting

log = logging.getLogger(__name__)

#: What Alembic runs the migrations in.
ENVIRONMENT = Path(__file__).parent / "alembic"
#: Any number will do as long as all of us agree: two processes that migrate at once take turns.
TURN = 7_267_486


def migrate(engine: Engine, scripts: Path) -> tuple[str | None, str | None]:
    """Brings the schema to the newest revision; all of it or nothing. Answers the revisions (before, after).

    Raises WrongSetting for a database that these scripts do not know.
    """
    config = alembic_config(scripts)
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
        return _current(connection) != ScriptDirectory.from_config(alembic_config(scripts)).get_current_head()


def alembic_config(scripts: Path) -> Config:
    """Of these scripts; whoever runs a command with it says in its attributes on which `connection`."""
    config = Config()
    for option, value in {
        "script_location": ENVIRONMENT,
        "version_locations": scripts / "versions",
        "path_separator": "newline",
    }.items():
        config.set_main_option(option, str(value).replace("%", "%%"))
    return config


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
