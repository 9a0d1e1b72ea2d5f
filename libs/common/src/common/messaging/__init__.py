"""Message brokers: the port, the topology, and an adapter each for RabbitMQ and for a file."""
