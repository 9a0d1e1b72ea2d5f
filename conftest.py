"""Every test under this folder gets the servers' fixtures, whichever service it belongs to."""

pytest_plugins = ["common.testing.servers"]
