"""What every service of listings does, done by widgets, whose urls are optional."""

from common.testing.listings.suites import *  # noqa: F403
from common.testing.listings.without_url import TestWithoutUrl as TestWithoutUrl
