"""Every test under this folder gets the fixtures of servers and of services of listings, whichever service it belongs to."""

import pytest

pytest.register_assert_rewrite("common.testing.listings")
pytest_plugins = ["common.testing.servers", "common.testing.listings.fixtures"]
