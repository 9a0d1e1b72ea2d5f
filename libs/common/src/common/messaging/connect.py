"""Picks the broker's adapter by the scheme of its URL."""

from pathlib import Path

from common.errors import WrongSetting
from common.messaging.embedded import EmbeddedBroker
from common.messaging.port import Broker
from common.messaging.rabbitmq import RabbitBroker


def connect(url: str, name: str) -> Broker:
    """The broker at `url`: `sqlite:///relative`, `sqlite:////absolute`, `amqp://…` or `amqps://…`. Nothing is opened until it is used.

    `name` says who connects, in RabbitMQ's list of connections. Raises WrongSetting for a URL that names no broker.
    """
    scheme, _, rest = url.partition("://")
    if scheme in ("amqp", "amqps"):
        return RabbitBroker(url, name)
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return EmbeddedBroker(Path(rest[1:]))
    raise WrongSetting("BROKER_URL", "must be a URL that starts with sqlite:/// or amqp:// or amqps://")
