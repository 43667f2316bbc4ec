"""The room's work: photos, texts and coordinates to vectors, each item with a result or an error of its own."""

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar, cast

import numpy as np
from g3_kit.errors import G3Error, Mismatch, Rejected, TooLarge, Unavailable
from numpy.typing import NDArray
from PIL import Image

from g3_embedding.batcher import Admission, Batcher
from g3_embedding.call import Call
from g3_embedding.decoding import Decoder
from g3_embedding.encoder import Encoder, Floats, ImageVectors, Model
from g3_embedding.lanes import Lane

Result = TypeVar("Result")

MAX_TEXT_CHARACTERS = 2000
# The tower reads at most 77 tokens of a text, and the GPS encoder is a few layers: their batches may be larger.
_TEXTS_A_BATCH = 128
_COORDINATES_A_BATCH = 1024
_WARM_UP_S = 300.0


class Embedding:
    """Stateless but for the parts it is given; every method may be called from any thread."""

    def __init__(
        self,
        encoder: Encoder,
        batcher: Batcher,
        decoder: Decoder,
        *,
        max_items: int = 64,
        photos_a_batch: int = 32,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_items` of one call, `photos_a_batch` of one forward pass; `clock` is the batcher's."""
        self.max_items = max_items
        self._model = encoder.model
        self._batcher = batcher
        self._decoder = decoder
        self._clock = clock
        self._images = _image_lane(encoder, photos_a_batch)
        self._texts = _text_lane(encoder)
        self._coordinates = _coordinate_lane(encoder)

    @property
    def model(self) -> Model:
        """What is served."""
        return self._model

    def call(self, wait_s: float) -> Call:
        """A call of a client who waits `wait_s` seconds from now."""
        return Call(self._clock() + wait_s, self._clock)

    def images(self, photos: Sequence[bytes], call: Call, expected_model: str = "") -> list[ImageVectors | G3Error]:
        """Encoded photos to their vectors, each float32 [d], in order; or what is wrong with a photo.

        Raises Rejected or TooLarge for no or too many items, Mismatch when another model than `expected_model` is
        served, Exhausted when the queue is full, Late at the call's deadline, Unavailable when the device is dead,
        the server drains or the call is cancelled. `texts` and `coordinates` raise the same.
        """
        self._judge(len(photos), expected_model)
        with self._batcher.admit(len(photos)) as admission:
            outcomes = [call.outcome() for _ in photos]
            for photo, outcome in zip(photos, outcomes, strict=True):
                self._decoder.submit(photo, call.wanted, self._into(admission, call, outcome))
            return cast(list[ImageVectors | G3Error], call.results(outcomes))

    def texts(self, texts: Sequence[str], call: Call, expected_model: str = "") -> list[Floats | G3Error]:
        """Texts to vectors float32 [d], in order; or what is wrong with a text."""
        self._judge(len(texts), expected_model)
        return self._encoded(self._texts, [_text(text) for text in texts], call)

    def coordinates(
        self, points: Sequence[tuple[float, float]], call: Call, expected_model: str = ""
    ) -> list[Floats | G3Error]:
        """Points (latitude, longitude) in degrees to vectors float32 [d], in order; or what is wrong with a point."""
        self._judge(len(points), expected_model)
        return self._encoded(self._coordinates, [_point(*point) for point in points], call)

    def warm_up(self) -> None:
        """One item through each lane, so that the first caller does not pay for what is built on first use.

        Raises Unavailable when the model does not run on its device.
        """
        for lane in (self._images, self._texts, self._coordinates):
            call = self.call(_WARM_UP_S)
            (result,) = self._encoded(cast(Lane[Any, Any, Any], lane), [lane.probe()], call)
            if isinstance(result, G3Error):
                raise Unavailable(f"The model does not run on {self._model.device}: the log says why.")

    def _judge(self, items: int, expected_model: str) -> None:
        if items == 0:
            raise Rejected("There are no items: send at least one.")
        if items > self.max_items:
            raise TooLarge(f"There are {items} items and a call takes at most {self.max_items}: split it.")
        if expected_model and expected_model != self._model.fingerprint:
            raise Mismatch("Another model is served than the one expected.", field="expected_model")

    def _into(self, admission: Admission, call: Call, outcome: "Future[object]") -> Callable[[Floats | G3Error], None]:
        """What becomes of a decoded photo: it goes to the model, or its error to the caller."""

        def decoded(result: Floats | G3Error) -> None:
            if not isinstance(result, G3Error):
                admission.submit(self._images, result, call.deadline_s, cast("Future[ImageVectors | G3Error]", outcome))
            elif outcome.set_running_or_notify_cancel():
                outcome.set_result(result)

        return decoded

    def _encoded(self, lane: Lane[Any, Any, Result], items: Sequence[object], call: Call) -> list[Result | G3Error]:
        """Items that are errors already keep their place and cost nothing."""
        good = [item for item in items if not isinstance(item, G3Error)]
        with self._batcher.admit(len(good)) as admission:
            outcomes = [
                admission.submit(lane, item, call.deadline_s, cast("Future[Result | G3Error]", call.outcome()))
                for item in good
            ]
            results = iter(call.results(cast("Sequence[Future[object]]", outcomes)))
        return [item if isinstance(item, G3Error) else cast(Result, next(results)) for item in items]


def _text(text: str) -> str | G3Error:
    if not text.strip():
        return Rejected("The text is empty.", field="texts")
    if len(text) > MAX_TEXT_CHARACTERS:
        return TooLarge(
            f"The text has {len(text)} characters and at most {MAX_TEXT_CHARACTERS} are taken.", field="texts"
        )
    return text


def _point(latitude: float, longitude: float) -> tuple[float, float] | G3Error:
    """180° east is the same meridian as 180° west, which the contract writes."""
    if not (math.isfinite(latitude) and math.isfinite(longitude)):
        return Rejected("Latitude and longitude must be finite numbers of degrees.", field="coordinates")
    if not -90.0 <= latitude <= 90.0:
        return Rejected(f"Latitude {latitude:.6g} is outside [-90, 90].", field="coordinates")
    if not -180.0 <= longitude <= 180.0:
        return Rejected(f"Longitude {longitude:.6g} is outside [-180, 180).", field="coordinates")
    return latitude, -180.0 if longitude == 180.0 else longitude


def _image_lane(encoder: Encoder, photos_a_batch: int) -> Lane[Floats, object, ImageVectors]:
    def forward(staged: Sequence[object]) -> list[ImageVectors | G3Error]:
        views = encoder.encode_images(staged)
        finite = np.logical_and.reduce([np.isfinite(view).all(axis=1) for view in views])  # bool [n]
        return [
            ImageVectors(*row) if good else _not_finite()
            for good, row in zip(finite, zip(*views, strict=True), strict=True)
        ]

    def probe() -> Floats:
        return encoder.pixels(Image.new("RGB", (64, 64), "gray"))

    return Lane("image", photos_a_batch, encoder.stage, forward, probe)


def _text_lane(encoder: Encoder) -> Lane[str, str, Floats]:
    def forward(texts: Sequence[str]) -> list[Floats | G3Error]:
        return _finite_rows(encoder.encode_texts(texts))

    return Lane("text", _TEXTS_A_BATCH, lambda text: text, forward, lambda: "a photo")


def _coordinate_lane(encoder: Encoder) -> Lane[tuple[float, float], tuple[float, float], Floats]:
    def forward(points: Sequence[tuple[float, float]]) -> list[Floats | G3Error]:
        return _finite_rows(encoder.encode_coordinates(np.asarray(points, dtype=np.float64)))

    return Lane("coordinates", _COORDINATES_A_BATCH, lambda point: point, forward, lambda: (0.0, 0.0))


def _finite_rows(rows: NDArray[np.float32]) -> list[Floats | G3Error]:
    return [row if np.isfinite(row).all() else _not_finite() for row in rows]


def _not_finite() -> G3Error:
    """A vector with NaN would win or poison every comparison: it never leaves the room."""
    return G3Error("The model has no finite vector for this item.")
