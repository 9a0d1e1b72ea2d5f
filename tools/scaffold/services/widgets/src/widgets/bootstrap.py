"""The composition root of widgets: the only place that picks adapters."""

from pathlib import Path

from common.listings.service import Service
from widgets.adapters.tables import TABLES
from widgets.config import Config
from widgets.domain import WIDGET
from widgets.entrypoints.http import SPEC, WidgetsController

SERVICE = Service(
    kind=WIDGET,
    config=Config,
    spec=SPEC,
    controller=WidgetsController,
    tables=TABLES,
    migrations=Path(__file__).parent / "adapters" / "migrations",
)
