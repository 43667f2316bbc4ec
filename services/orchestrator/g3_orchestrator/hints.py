"""The box that a search can apply of what a caller knows."""

import math

from g3_geography import BoundingBox

from g3_orchestrator.parameters import Circle, Hints

# The shortest radius of curvature of WGS 84 (the meridian's at the equator, 6,335.4 km), less one per cent: with it a
# box always covers its circle.
_RADIUS_KM = 6_335.4 * 0.99


def search_box(hints: Hints) -> BoundingBox | None:
    """The caller's box, else one around the circle, else None. What lies in its corners is dropped afterwards."""
    if hints.bounding_box is not None:
        return hints.bounding_box
    return None if hints.circle is None else box_around(hints.circle)


def box_around(circle: Circle) -> BoundingBox:
    """A box that covers the circle; all longitudes when the circle comes near a pole."""
    angle = circle.radius_km / _RADIUS_KM
    half_height = math.degrees(angle)
    south, north = circle.center.latitude - half_height, circle.center.latitude + half_height
    if south <= -90 or north >= 90:
        return BoundingBox(max(south, -90.0), -180.0, min(north, 90.0), 180.0)
    half_width = math.degrees(math.asin(min(1.0, math.sin(angle) / math.cos(math.radians(circle.center.latitude)))))
    if half_width >= 90:
        return BoundingBox(south, -180.0, north, 180.0)
    west, east = circle.center.longitude - half_width, circle.center.longitude + half_width
    return BoundingBox(south, west + 360 if west < -180 else west, north, east - 360 if east > 180 else east)
