"""Real backing services for tests, started from what a machine has installed. Standard library only."""
