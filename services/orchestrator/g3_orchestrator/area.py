"""Whether a place is where the caller says that the photo is."""

from g3_geography import Coordinates, Place, distance_km

from g3_orchestrator.parameters import Hints


def inside(hints: Hints, coordinates: Coordinates, place: Place) -> bool:
    """Whether the point fits all hints: edges and the circle's rim included. `place`: the names of the point."""
    if hints.country_codes and place.country_code not in hints.country_codes:
        return False
    if hints.bounding_box is not None and coordinates not in hints.bounding_box:
        return False
    circle = hints.circle
    return circle is None or distance_km(circle.center, coordinates) <= circle.radius_km
