"""What every service of listings does, done by rooms."""

from common.testing.listings.suites import *  # noqa: F403
