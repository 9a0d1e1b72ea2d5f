"""Queries, price buckets, freshness and places."""

from datetime import UTC, datetime, timedelta
from math import asin, cos, radians, sin, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.domain import FRESH, Freshness, Market, Query, Range, Sort, price_bucket
from search.geo import EARTH_RADIUS, Circle, Point
from search.projection import microseconds, moment

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATS, LONS = st.floats(-90, 90), st.floats(-180, 180)


@pytest.mark.parametrize(
    ("price", "bucket"),
    [
        (0, 0),
        (1, 1),
        (9, 9),
        (10, 10),
        (14, 10),
        (15, 15),
        (99, 95),
        (100, 100),
        (149, 100),
        (150, 150),
        (1_499, 1_000),
        (1_500, 1_500),
        (10**12, 10**12),
    ],
)
def test_prices_fall_into_buckets_of_half_a_leading_digit(price: int, bucket: int) -> None:
    assert price_bucket(price) == bucket


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_higher_price_is_never_in_a_lower_bucket(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert price_bucket(low) <= price_bucket(high)
    assert price_bucket(low) <= low < 2 * price_bucket(low) + 10
    assert price_bucket(price_bucket(low)) == price_bucket(low)


@pytest.mark.parametrize(
    "query",
    [
        Query(filters={"price": Range(low=1)}),
        Query(filters={"price": Range(high=0)}),
        Query(filters={"monthly_price": Range(0)}),
        Query(sort=Sort.PRICE),
        Query(sort=Sort.PRICE_DESCENDING),
    ],
)
def test_whoever_speaks_of_prices_means_one_currency(query: Query) -> None:
    assert query.on(Market("CHF")).currency == "CHF"


def test_a_currency_that_was_given_stays_and_without_prices_there_is_none() -> None:
    assert Query(currency="SEK", sort=Sort.PRICE).on(Market("CHF")).currency == "SEK"
    assert Query().on(Market("CHF")).currency is None
    assert Query(facets=("price",)).on(Market("CHF")).currency is None
    assert Query(facets=("price",)).on(Market("CHF")).counted_by("price").currency == "CHF"
    assert Query(currency="SEK").on(Market("CHF")).counted_by("price").currency == "SEK"


def test_the_index_is_as_fresh_as_its_slowest_source() -> None:
    progress = {"rooms": NOW - timedelta(seconds=2), "items": NOW - timedelta(seconds=7)}
    assert Freshness.at(progress, NOW) == Freshness(NOW - timedelta(seconds=7), 7.0)
    assert not Freshness.at(progress, NOW).stale


def test_without_a_fresh_heartbeat_nobody_can_say_how_far_behind_it_is() -> None:
    assert Freshness.at({}, NOW) == Freshness(None, None)
    old = NOW - FRESH - timedelta(microseconds=1)
    assert Freshness.at({"rooms": old}, NOW) == Freshness(old, None)
    assert Freshness.at({"rooms": old}, NOW).stale
    assert not Freshness.at({"rooms": NOW - FRESH}, NOW).stale


def test_a_clock_that_is_behind_makes_no_negative_lag() -> None:
    assert Freshness.at({"rooms": NOW + timedelta(seconds=1)}, NOW).lag_seconds == 0


@given(LATS, LONS)
def test_a_cell_lies_at_its_point(lat: float, lon: float) -> None:
    point = Point(lat, lon)
    again = Point.of_cell(point.cell)
    assert abs(again.lat - lat) <= 1.0e-7
    assert abs(again.lon - lon) <= 1.0e-7
    assert 0 <= point.cell < 2**64


@given(LATS, LONS, LATS, LONS)
def test_distances_are_great_circles(lat: float, lon: float, other_lat: float, other_lon: float) -> None:
    cell = Point(other_lat, other_lon).cell
    there = Point.of_cell(cell)
    half = (
        sin(radians(there.lat - lat) / 2) ** 2
        + cos(radians(lat)) * cos(radians(there.lat)) * sin(radians(there.lon - lon) / 2) ** 2
    )
    assert Circle(Point(lat, lon), 1).distance(cell) == pytest.approx(2 * EARTH_RADIUS * asin(min(1, sqrt(half))), abs=1)


def test_a_known_distance() -> None:
    assert Circle(Point(52.52, 13.405), 1).distance(Point(48.8566, 2.3522).cell) == pytest.approx(877_463, abs=10)


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_survive_to_the_microsecond(at: datetime) -> None:
    assert moment(microseconds(at)) == at
