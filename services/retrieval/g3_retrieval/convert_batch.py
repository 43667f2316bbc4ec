"""A batch of references from the wire: read and checked in bulk, and one by one only where something is wrong.

Photo by photo, reading and checking three vectors each took a third of an upsert at width 128.
"""

from collections.abc import Sequence

import numpy as np
from g3_kit.errors import G3Error
from g3_protos.retrieval.v1 import retrieval_pb2
from g3_protos.vector.v1 import vector_pb2
from numpy.typing import NDArray

from g3_retrieval import convert
from g3_retrieval.references import UNIT_TOLERANCE, Reference, ReferenceVectors, Vectors, Version


def batch_of(
    items: Sequence[retrieval_pb2.ReferenceVectors], version: Version
) -> tuple[ReferenceVectors, dict[int, G3Error]]:
    """The references that may be written to `version`, and what is wrong with each of the others, by its number."""
    errors: dict[int, G3Error] = {}
    vectors = _vectors_of([item.vectors for item in items], version, errors)
    references: list[Reference] = []
    kept: list[int] = []
    for number, item in enumerate(items):
        if number in errors:
            continue
        try:
            references.append(convert.reference_of(item.reference))
            kept.append(number)
        except G3Error as error:
            errors[number] = error
    good = vectors if len(kept) == len(items) else vectors[kept]
    return ReferenceVectors(tuple(references), good[:, 0], good[:, 1], good[:, 2]), errors


def _vectors_of(messages: Sequence[vector_pb2.ImageVectors], version: Version, errors: dict[int, G3Error]) -> Vectors:
    """float32 [n, 3, d]; rows of what is wrong hold zeros, and their error is noted."""
    width = version.dimension
    whole = [number for number, message in enumerate(messages) if _has_width(message, width)]
    content = b"".join(
        values
        for number in whole
        for message in (messages[number],)
        for values in (message.clip.values, message.text_aligned.values, message.gps_aligned.values)
    )
    vectors = np.zeros((len(messages), 3, width), np.float32)
    vectors[whole] = np.frombuffer(content, "<f4").reshape(-1, 3, width)
    # Half the tolerance, for float32's own error, and NaN is no comparison: the exact check decides on the rest.
    with np.errstate(over="ignore", invalid="ignore"):
        lengths: NDArray[np.float32] = np.sqrt(np.einsum("nid,nid->ni", vectors, vectors))
        doubtful = ~(np.abs(lengths - 1.0) < UNIT_TOLERANCE / 2).all(axis=1)
    for number in map(int, np.flatnonzero(doubtful)):
        try:
            one = convert.vectors_of(messages[number])
            version.check(version.model, one.dimension)
            vectors[number] = (one.clip, one.text_aligned, one.gps_aligned)
        except G3Error as error:
            errors[number] = error
    return vectors


def _has_width(message: vector_pb2.ImageVectors, width: int) -> bool:
    return all(
        vector.dimension == width and len(vector.values) == 4 * width
        for vector in (message.clip, message.text_aligned, message.gps_aligned)
    )
