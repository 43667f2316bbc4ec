"""Geodesics, clusters on the sphere, offline places.

::

    Coordinates    WGS 84 degrees, validated, longitude wrapped
    distance_km    geodesic kilometres (distances_km for arrays, haversine_km on the sphere)
    destination    the point at a bearing and distance (circle for a ring of them)
    clusters       single linkage on the sphere, and the medoid of a cluster
    Gazetteer      names the nearest place without the network
    BoundingBox    containment, also across the antimeridian
"""

from g3_geography.bounding_box import BoundingBox
from g3_geography.clusters import clusters, medoid
from g3_geography.coordinates import Coordinates, wrapped_longitude
from g3_geography.geodesic import EARTH_RADIUS_KM, circle, destination, distance_km, distances_km, haversine_km
from g3_geography.places import Cities, City, Gazetteer, Place

__all__ = [
    "EARTH_RADIUS_KM",
    "BoundingBox",
    "Cities",
    "City",
    "Coordinates",
    "Gazetteer",
    "Place",
    "circle",
    "clusters",
    "destination",
    "distance_km",
    "distances_km",
    "haversine_km",
    "medoid",
    "wrapped_longitude",
]
