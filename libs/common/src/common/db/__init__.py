"""The relational database: engine, the versioned row with its outbox row, the doorbell, migrations."""
