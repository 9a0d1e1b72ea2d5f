"""The principal of the request that is being served."""

from contextvars import ContextVar

from common.security.principal import ANONYMOUS, Principal

_current: ContextVar[Principal] = ContextVar("principal", default=ANONYMOUS)


def principal() -> Principal:
    """Who the request under way comes from; its threads know it too."""
    return _current.get()


def use(principal: Principal) -> None:
    """From now on, in this context, requests come from `principal`."""
    _current.set(principal)
