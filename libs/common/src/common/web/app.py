"""The web application of a service: connexion's document, security and resolver; Flask-Injector's injection; our own front and bridge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flask
from connexion.middleware import ConnexionMiddleware
from connexion.middleware.context import ContextMiddleware
from connexion.middleware.security import SecurityMiddleware
from flask_injector import FlaskInjector
from injector import Binder, Injector, singleton
from starlette.types import ASGIApp, Receive, Scope, Send
from werkzeug.routing import MapAdapter

from common.observability.metrics import Gauges, Metrics, Requests
from common.web.bridge import OPERATION, BodyBudget
from common.web.cors import Cors
from common.web.document import load_document
from common.web.front import Front
from common.web.gateway import ControllerResolver, Gateway
from common.web.guard import Guard, Scopes
from common.web.health import Check, Health
from common.web.metrics import MetricsPage
from common.web.operations import Call
from common.web.pages import SwaggerUI, documents, front_page, problem_page
from common.web.problems import ProblemTable, Translate
from common.web.protection import protected, shown
from common.web.routing import Routes
from common.web.served import Served
from common.web.streaming import Stream
from common.web.threads import Workers
from common.web.views import Views
from common.web.waiting import Consistency, Waits
from common.web.worker import add_pages

Module = Callable[[Binder], None]


@dataclass(frozen=True)
class Application:
    """An ASGI application, and what tests reach for."""

    name: str
    asgi: Served
    injector: Injector
    flask: flask.Flask

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.asgi(scope, receive, send)

    def stop(self) -> None:
        """See `Served.stop`."""
        self.asgi.stop()


def create_app(
    *,
    name: str,
    spec: Path,
    controller: type,
    modules: Sequence[Module],
    checks: Sequence[Check] = (),
    gauges: Sequence[Gauges] = (),
    streams: Sequence[Stream] = (),
    body_limit: int = 1024 * 1024,
    cors_origins: tuple[str, ...] = (),
    views: Callable[[flask.Flask], None] | None = None,
    pages: Mapping[str, Callable[[Injector], ASGIApp]] | None = None,
    location: Callable[[str], str] | None = None,
    problems: Mapping[type[BaseException], Translate] | None = None,
    guard: Guard | None = None,
    version: str = "",
    threads: int = 16,
    consistency: Consistency | None = None,
) -> Application:
    """Builds the application; the injector makes `controller`, whose methods are the operations by operationId.

    `modules` are `configure(binder)` functions, later ones override; what is counted goes to the Metrics that they bind, else to
    some of the application's own; `gauges` are asked when /metrics is; `views` registers plain Flask views, which may have
    injected arguments; `pages` makes the ASGI handlers of GET and HEAD by path template, as in `/images/{name}`; `location` gives the
    path of a listing for the Location of a 409; `problems` adds domain errors to the table; `guard` says who may do what, by default
    everybody everything; `body_limit` is in bytes; `threads` is how many handlers run at a time; `consistency` names the operations
    that wait for what was written.
    Raises connexion's InvalidSpecification, ResolverError or ValueError for a document that is broken, an operation that has
    no method or does not fit it, or a schema that cannot be compiled: a service that cannot work does not start.
    """
    app = _Flask(name, static_folder=None)
    app.config.update(PROPAGATE_EXCEPTIONS=True, TRAP_HTTP_EXCEPTIONS=True)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    if views is not None:
        views(app)
    injector = FlaskInjector(app=app, modules=[_own_metrics(name), *modules]).injector
    metrics = injector.get(Metrics)
    workers = Workers(f"{name}-http", threads)
    bodies = BodyBudget(body_limit)
    plain = Views(app, workers, bodies)

    guard = guard or Guard()
    waits = None if consistency is None else Waits(consistency)
    gateway = Gateway(app, bodies, workers, injector, streams, guard, waits)
    # Routing, exceptions, validation and Swagger UI are done elsewhere; see docs/adr.
    stack = ConnexionMiddleware(gateway, middlewares=[SecurityMiddleware, ContextMiddleware], specification_dir=spec.parent)
    document = protected(load_document(spec), guard)
    resolver = ControllerResolver(injector.get(controller), streams)
    stack.add_api(document, resolver=resolver, security_map={"oauth2": Scopes})
    # What connexion would do at the first request, when it is too late to refuse a broken document.
    stack.app, stack.middleware_stack = stack._build_middleware_stack()
    specification = stack.apis[0].specification

    routes: Routes[ASGIApp] = Routes()
    for method, path, target in gateway.routes(stack):
        routes.add(method, path, target)
    health = Health(name, version or str(specification["info"]["version"]), checks)
    add_pages(routes, health, MetricsPage(metrics, gauges))
    fixed: dict[str, ASGIApp] = {"/problems/{name}": problem_page, "/": front_page(name, specification)}
    fixed |= documents(specification, shown(specification.raw))
    fixed |= {path: guard.before(made(injector), secured=False) for path, made in (pages or {}).items()}
    for path, page in fixed.items():
        routes.add("GET", path, page)
    ui = SwaggerUI(specification)

    def otherwise(scope: Scope) -> ASGIApp:
        return ui if ui.owns(scope["path"]) else guard.before(plain.find(scope), secured=False)

    front = Front(routes, otherwise, ProblemTable(location, problems), Cors(cors_origins), Requests(metrics))
    return Application(name, Served(front), injector, app)


def _own_metrics(name: str) -> Module:
    return lambda binder: binder.bind(Metrics, to=lambda: Metrics(name), scope=singleton)


class _Flask(flask.Flask):
    """A Flask that takes an operation's route as already found, instead of matching the path a second time."""

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        call: Call | None = request.environ.get(OPERATION) if request is not None else None
        return super().create_url_adapter(request) if call is None else _Found(self, call)


class _Found(MapAdapter):
    def __init__(self, app: flask.Flask, call: Call) -> None:
        super().__init__(app.url_map, "localhost", "/", "", "http", "/", "GET")
        self._rule = call.operation.rule

    def match(self, *_: Any, **__: Any) -> Any:
        return self._rule, {}
