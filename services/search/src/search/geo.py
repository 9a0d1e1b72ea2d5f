"""Places on the earth, to the precision that both engines keep."""

from dataclasses import dataclass
from math import asin, cos, degrees, floor, radians, sin, sqrt

#: The mean radius in metres that Lucene reckons with, so that both engines answer the same distance.
EARTH_RADIUS = 6_371_008.7714
#: Half the way around the earth and a little: as a radius, everywhere.
FURTHEST = 20_040_000.0

_LAT_STEP, _LON_STEP = 180 / 2**32, 360 / 2**32


@dataclass(frozen=True, slots=True)
class Point:
    """WGS 84, degrees."""

    lat: float
    lon: float

    @property
    def cell(self) -> int:
        """The point as 64 bits, 32 per axis, as Lucene's LatLonPoint rounds it down: to 5 mm in latitude, 9 mm in longitude."""
        lat = min(floor(self.lat / _LAT_STEP), 2**31 - 1) + 2**31
        lon = min(floor(self.lon / _LON_STEP), 2**31 - 1) + 2**31
        return lat << 32 | lon

    @classmethod
    def of_cell(cls, cell: int) -> "Point":
        """The lower corner of a cell, which is where Lucene takes the point to be."""
        return cls(((cell >> 32) - 2**31) * _LAT_STEP, ((cell & 0xFFFFFFFF) - 2**31) * _LON_STEP)


@dataclass(frozen=True, slots=True)
class Box:
    """The points between two meridians and two parallels, edges included; it crosses the antimeridian where `west > east`."""

    west: float
    south: float
    east: float
    north: float


@dataclass(frozen=True, slots=True)
class Circle:
    """The points within `radius` metres of `centre`."""

    centre: Point
    radius: float

    def distance(self, cell: int) -> float:
        """Metres from the centre to a cell, along the surface of a sphere (haversine)."""
        point = Point.of_cell(cell)
        here, there = radians(self.centre.lat), radians(point.lat)
        half = 1 - cos(here - there) + cos(here) * cos(there) * (1 - cos(radians(self.centre.lon - point.lon)))
        return 2 * EARTH_RADIUS * asin(min(1.0, sqrt(max(0.0, half) / 2)))

    def around(self) -> Box:
        """A box that holds the circle, a little generous."""
        reach = self.radius / EARTH_RADIUS * 1.000001 + 1e-7
        lat = radians(self.centre.lat)
        south, north = self.centre.lat - degrees(reach), self.centre.lat + degrees(reach)
        if south <= -90 or north >= 90:  # it holds a pole, which lies on every meridian
            return Box(-180, south, 180, north)
        aside = degrees(asin(min(1.0, sin(reach) / cos(lat)))) + 1e-6
        west, east = self.centre.lon - aside, self.centre.lon + aside
        return Box(west + 360 if west < -180 else west, south, east - 360 if east > 180 else east, north)
