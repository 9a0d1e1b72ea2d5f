"""The broker contract over the embedded broker and over RabbitMQ."""

from common.testing.broker_contract import BrokerContract


class TestBroker(BrokerContract):
    """Every case, for each `broker_url`."""
