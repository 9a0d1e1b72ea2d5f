"""What a process without an API of its own says about itself: /metrics and the health pages, on a small port beside its work."""

from collections.abc import Sequence

from starlette.types import ASGIApp, Scope

from common.observability.metrics import Gauges, Metrics, Requests
from common.web.cors import Cors
from common.web.front import Front
from common.web.health import Check, Health
from common.web.metrics import MetricsPage
from common.web.problems import Problem, ProblemTable
from common.web.routing import Routes
from common.web.served import Served


def worker_app(
    name: str, metrics: Metrics, *, checks: Sequence[Check] = (), gauges: Sequence[Gauges] = (), version: str = ""
) -> Served:
    """The pages that operators ask for, and nothing else."""
    routes: Routes[ASGIApp] = Routes()
    add_pages(routes, Health(name, version, checks), MetricsPage(metrics, gauges))
    return Served(Front(routes, _nothing_else, ProblemTable(), Cors(()), Requests(metrics)))


def add_pages(routes: Routes[ASGIApp], health: Health, page: MetricsPage) -> None:
    """The same pages on every process."""
    pages: dict[str, ASGIApp] = {
        "/livez": health.live,
        "/readyz": health.ready,
        "/health-check": health.check,
        "/metrics": page,
    }
    for path, each in pages.items():
        routes.add("GET", path, each)


def _nothing_else(_scope: Scope) -> ASGIApp:
    raise Problem("no-such-path")
