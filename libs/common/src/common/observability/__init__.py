"""What a request is called while it travels (ids), and what is written down about it (logs)."""

from common.observability.context import TraceContext, bind, current
from common.observability.logs import configure_logging, wants_json

__all__ = ["TraceContext", "bind", "configure_logging", "current", "wants_json"]
