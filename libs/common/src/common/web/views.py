"""Plain Flask views beside the document's operations, found by Flask's own rules; FlaskInjector gives them their arguments."""

import flask
from starlette.types import ASGIApp, Receive, Scope, Send
from werkzeug.routing import Map

from common.web.bridge import BodyBudget, run_wsgi
from common.web.problems import Problem
from common.web.routing import allow
from common.web.threads import Workers


class Views:
    """Says who serves a path, before a thread is taken: 404 and 405 cost none."""

    def __init__(self, app: flask.Flask, workers: Workers, bodies: BodyBudget) -> None:
        """Takes the rules the application has now; operations are added to it later."""
        self._app = app
        self._workers = workers
        self._bodies = bodies
        rules = [rule.empty() for rule in app.url_map.iter_rules()]
        self._rules = Map(rules, strict_slashes=False, merge_slashes=False).bind("localhost")

    def find(self, scope: Scope) -> ASGIApp:
        """Raises Problem 404, or 405 with `Allow`. A trailing slash makes no difference."""
        path: str = scope["path"]
        for spelling in (path, path.rstrip("/") if path.endswith("/") else f"{path}/"):
            if methods := set(self._rules.allowed_methods(spelling)) - {"OPTIONS", "HEAD"}:
                break
        else:
            raise Problem("no-such-path")
        if ("GET" if scope["method"] == "HEAD" else scope["method"]) not in methods:
            raise Problem("method-not-allowed", headers=(("Allow", allow(methods)),))

        async def view(scope: Scope, receive: Receive, send: Send) -> None:
            async with self._bodies.body(scope, receive) as body:
                answer = await run_wsgi(self._app, self._workers, {**scope, "path": spelling}, body, None)
            await answer.send(send)

        return view
