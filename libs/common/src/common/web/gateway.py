"""Where connexion's middlewares end: the operations of a document, each a controller's method or a stream."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import flask
from connexion.exceptions import ResolverError
from connexion.http_facts import METHODS
from connexion.middleware import ConnexionMiddleware
from connexion.middleware.abstract import ROUTING_CONTEXT, SpecMiddleware
from connexion.resolver import Resolution, Resolver
from connexion.spec import Specification
from injector import Injector
from starlette.types import ASGIApp, Receive, Scope, Send

from common.errors import Invalid
from common.web.bridge import BodyBudget, run_wsgi
from common.web.front import OPERATION_ID
from common.web.guard import Guard
from common.web.operations import Call, Operation, api_keys, unique_parameters
from common.web.parameters import Parameters
from common.web.streaming import PARAMETERS, Stream
from common.web.threads import Workers
from common.web.waiting import Waits


class ControllerResolver(Resolver):  # type: ignore[misc]
    """Finds an operation's handler on a controller. (Flask-Injector cannot see connexion 3's operations.)"""

    def __init__(self, controller: object, streams: Sequence[Stream]) -> None:
        super().__init__()
        self._controller = controller
        self._streams = {(stream.method.lower(), stream.path) for stream in streams}

    def resolve(self, operation: Any) -> Resolution:
        if (operation.method, operation.path) in self._streams:
            return Resolution(_not_called, operation.operation_id)
        return super().resolve(operation)

    def resolve_function_from_operation_id(self, operation_id: str | None) -> Callable[..., Any]:
        handler: Any = getattr(self._controller, operation_id or "", None)
        if not callable(handler) or inspect.iscoroutinefunction(handler):
            raise ResolverError(f"{type(self._controller).__name__} has no method for the operation {operation_id!r}")
        return cast(Callable[..., Any], handler)


def _not_called() -> None:
    raise AssertionError("a stream is not called through Flask")


class Gateway(SpecMiddleware):  # type: ignore[misc]
    """Hands a request that passed security to its stream, or with its whole body to Flask in a thread."""

    def __init__(
        self,
        app: flask.Flask,
        bodies: BodyBudget,
        workers: Workers,
        injector: Injector,
        streams: Sequence[Stream],
        guard: Guard,
        waits: Waits | None = None,
    ) -> None:
        self._workers = workers
        self._app = app
        self._bodies = bodies
        self._injector = injector
        self._guard = guard
        self._waits = waits
        self._streams = {(stream.method.lower(), stream.path): stream for stream in streams}
        self._operations: dict[str, Operation] = {}
        self._running: dict[str, tuple[Parameters, ASGIApp]] = {}
        self._paths: list[tuple[str, str, str, str, bool]] = []

    def add_api(self, specification: Specification, *, resolver: Resolver, base_path: str | None = None, **_: Any) -> None:
        """Compiles every operation; called by connexion when it builds its stack."""
        base = base_path or specification.base_path
        for path, item in specification["paths"].items():
            for method in METHODS & item.keys():
                self._add(specification, resolver, base, path, method)
        if unknown := self._streams.keys() - {(method, path) for _, path, method, _, _ in self._paths}:
            raise ValueError(f"the document has no operation for the stream {sorted(unknown)[0]}")

    def _add(self, specification: Specification, resolver: Resolver, base: str, path: str, method: str) -> None:
        operation = specification.operation_cls.from_spec(specification, path=path, method=method, resolver=resolver)
        name = operation.operation_id
        if not name or name in self._operations or name in self._running:
            raise ValueError(f"{method.upper()} {path}: the operationId {name!r} is missing or there twice")
        components = specification.raw.get("components", {})
        try:
            if stream := self._streams.get((method, path)):
                parameters = Parameters(unique_parameters(operation), components, api_keys(operation))
                self._running[name] = (parameters, stream.handler(self._injector))
            else:
                raw = specification.raw["paths"][path][method]
                compiled = Operation(operation, raw, components, operation.function)
                self._app.add_url_rule(base + path.replace("{", "<").replace("}", ">"), name, compiled, methods=[method.upper()])
                compiled.rule = next(self._app.url_map.iter_rules(name))
                self._operations[name] = compiled
        except ValueError as error:
            raise ValueError(f"{method.upper()} {path}: {error}") from error
        self._paths.append((base, path, method, name, bool(operation.security)))

    def routes(self, stack: ConnexionMiddleware) -> Iterator[tuple[str, str, ASGIApp]]:
        """(method, path, target) of every operation; a target goes through connexion's `stack` and comes out here."""
        for base, path, method, name, secured in self._paths:
            yield method.upper(), base + path, _through(stack, base, name, self._guard, secured=secured)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extensions = scope["extensions"]
        name = extensions[ROUTING_CONTEXT]["operation_id"]
        operation = self._operations.get(name)
        if operation is None:
            parameters, stream = self._running[name]
            headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
            arguments, errors = parameters.read(scope["path_params"], scope["query_string"].decode("latin-1"), headers.get)
            if errors:
                raise Invalid(tuple(errors))
            scope[PARAMETERS] = arguments
            await stream(scope, receive, send)
            return
        async with self._bodies.body(scope, receive) as body:
            if self._waits is not None and name in self._waits:
                await self._waits.wait(scope, receive)
            call = Call(operation, scope["path_params"], body, extensions.get("connexion_context") or {})
            answer = await run_wsgi(self._app, self._workers, scope, body, call)
        await answer.send(send)


def _through(stack: ConnexionMiddleware, base: str, name: str, guard: Guard, *, secured: bool) -> ASGIApp:
    first = guard.before(stack.app, secured=secured)

    async def enter(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"], scope[OPERATION_ID] = stack, name
        scope["extensions"] = {**scope.get("extensions", {}), ROUTING_CONTEXT: {"api_base_path": base, "operation_id": name}}
        await first(scope, receive, send)

    return enter
