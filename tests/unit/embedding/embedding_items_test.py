"""Each item has a result or an error of its own; what concerns the call fails the call."""

import io
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from g3_alignment import fingerprint_of, initialise, preset
from g3_embedding.batcher import Batcher
from g3_embedding.decoding import Decoder
from g3_embedding.embedding import MAX_TEXT_CHARACTERS, Embedding
from g3_embedding.encoder import Encoder, Floats, ImageVectors
from g3_embedding.fakes import FakeEncoder
from g3_embedding.torch_encoder import TorchEncoder
from g3_kit.errors import Exhausted, G3Error, Late, Mismatch, Rejected, TooLarge, Unavailable
from numpy.typing import NDArray
from PIL import Image


def jpeg(seed: int, size: tuple[int, int] = (90, 70)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


@dataclass(frozen=True)
class HeldEncoder(FakeEncoder):
    """Waits in each forward pass until the test lets it go, and counts the photos it saw."""

    let: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    seen: list[int] = field(default_factory=list)

    def encode_images(self, staged: Sequence[object]) -> ImageVectors:
        self.seen.append(len(staged))
        self.entered.set()
        assert self.let.wait(20)
        return super().encode_images(staged)


@dataclass(frozen=True)
class NanEncoder(FakeEncoder):
    """Gives NaN for the equator."""

    def encode_coordinates(self, coordinates: NDArray[np.float64]) -> Floats:
        rows = super().encode_coordinates(coordinates)
        rows[coordinates[:, 0] == 0.0] = np.nan
        return rows


@contextmanager
def embedding_of(encoder: Encoder, *, capacity: int = 64, max_items: int = 8, a_batch: int = 4) -> Iterator[Embedding]:
    with ExitStack() as stack:
        batcher = Batcher(capacity=capacity)
        batcher.start()
        stack.callback(batcher.drain, 20.0)
        decoder = Decoder(encoder.pixels, threads=2)
        stack.callback(decoder.close)
        yield Embedding(encoder, batcher, decoder, max_items=max_items, photos_a_batch=a_batch)


@pytest.fixture
def embedding() -> Iterator[Embedding]:
    with embedding_of(FakeEncoder()) as made:
        yield made


def test_broken_photos_keep_their_place_and_fail_alone(embedding: Embedding) -> None:
    whole = jpeg(1)
    photos = [whole, b"", whole[: len(whole) // 2], b"no photo at all", jpeg(2)]
    outcomes = embedding.images(photos, embedding.call(20))
    assert [isinstance(outcome, G3Error) for outcome in outcomes] == [False, True, True, True, False]
    assert all(isinstance(outcome, Rejected) for outcome in outcomes[1:4])
    (alone,) = embedding.images([whole], embedding.call(20))
    assert isinstance(alone, ImageVectors)
    first = outcomes[0]
    assert isinstance(first, ImageVectors)
    for many, one in zip(first, alone, strict=True):
        np.testing.assert_array_equal(many, one)


def test_a_call_of_broken_photos_only_is_still_an_answer(embedding: Embedding) -> None:
    outcomes = embedding.images([b"", b"x"], embedding.call(20))
    assert all(isinstance(outcome, Rejected) for outcome in outcomes)


def test_texts_are_judged_one_by_one(embedding: Embedding) -> None:
    outcomes = embedding.texts(
        ["Paris", "  ", "x" * (MAX_TEXT_CHARACTERS + 1), "x" * MAX_TEXT_CHARACTERS], embedding.call(20)
    )
    assert [type(outcome) for outcome in outcomes] == [np.ndarray, Rejected, TooLarge, np.ndarray]


def test_points_are_judged_one_by_one(embedding: Embedding) -> None:
    bad = [(90.5, 0.0), (0.0, 181.0), (math.nan, 0.0), (0.0, math.inf), (-91.0, 0.0)]
    good = [(90.0, 0.0), (0.0, 180.0), (0.0, -180.0)]
    outcomes = embedding.coordinates([*bad, *good], embedding.call(20))
    assert all(isinstance(outcome, Rejected) for outcome in outcomes[:5])
    east, west = outcomes[6:]
    assert isinstance(east, np.ndarray)
    assert isinstance(west, np.ndarray)
    np.testing.assert_array_equal(east, west)


def test_a_vector_with_nan_never_leaves() -> None:
    with embedding_of(NanEncoder()) as embedding:
        poisoned, good = embedding.coordinates([(0.0, 5.0), (1.0, 5.0)], embedding.call(20))
    assert isinstance(poisoned, G3Error)
    assert isinstance(good, np.ndarray)


def test_no_items_too_many_and_another_model_are_refused(embedding: Embedding) -> None:
    with pytest.raises(Rejected):
        embedding.images([], embedding.call(20))
    with pytest.raises(TooLarge):
        embedding.texts(["x"] * 9, embedding.call(20))
    with pytest.raises(Mismatch):
        embedding.coordinates([(0.0, 0.0)], embedding.call(20), expected_model="f" * 64)
    assert embedding.coordinates([(0.0, 0.0)], embedding.call(20), expected_model=embedding.model.fingerprint)


def test_a_call_ends_at_its_deadline_and_its_photos_cost_nothing() -> None:
    encoder = HeldEncoder()
    with embedding_of(encoder, a_batch=1) as embedding:
        first = threading.Thread(target=embedding.images, args=([jpeg(1)], embedding.call(20)))
        first.start()
        assert encoder.entered.wait(20)
        with pytest.raises(Late):
            embedding.images([jpeg(2), jpeg(3)], embedding.call(0.2))
        encoder.let.set()
        first.join(20)
        assert embedding.images([jpeg(4)], embedding.call(20))
    assert encoder.seen == [1, 1]


def test_a_call_cancelled_by_its_client_ends_and_costs_nothing() -> None:
    encoder = HeldEncoder()
    with embedding_of(encoder, a_batch=1) as embedding:
        first = threading.Thread(target=embedding.images, args=([jpeg(1)], embedding.call(20)))
        first.start()
        assert encoder.entered.wait(20)
        call = embedding.call(20)
        threading.Timer(0.1, call.cancel).start()
        with pytest.raises(Unavailable):
            embedding.images([jpeg(2)], call)
        encoder.let.set()
        first.join(20)
    assert encoder.seen == [1]


def test_a_call_cancelled_before_it_began_is_not_begun(embedding: Embedding) -> None:
    call = embedding.call(20)
    call.cancel()
    with pytest.raises(Unavailable):
        embedding.images([jpeg(1)], call)


def test_a_full_queue_is_refused_before_anything_is_decoded() -> None:
    encoder = HeldEncoder()
    with embedding_of(encoder, capacity=8) as embedding:
        first = threading.Thread(target=embedding.images, args=([jpeg(n) for n in range(8)], embedding.call(20)))
        first.start()
        assert encoder.entered.wait(20)
        with pytest.raises(Exhausted) as refused:
            embedding.images([jpeg(9)], embedding.call(20))
        assert refused.value.retry_after_s is not None
        encoder.let.set()
        first.join(20)


def test_warm_up_passes_every_lane_and_says_when_the_model_does_not_run(embedding: Embedding) -> None:
    embedding.warm_up()

    class Broken(FakeEncoder):
        def encode_texts(self, texts: Sequence[str]) -> Floats:
            raise RuntimeError("no kernel")

    with embedding_of(Broken()) as broken, pytest.raises(Unavailable):
        broken.warm_up()


@pytest.mark.parametrize("a_batch", [1, 3, 32])
def test_concurrent_calls_give_what_the_plain_model_gives_photo_by_photo(a_batch: int) -> None:
    model = initialise(preset("demo"), seed=5)
    encoder = TorchEncoder(model, fingerprint_of(model))
    photos = [jpeg(seed, (60 + 7 * seed, 90)) for seed in range(12)]
    found: dict[int, ImageVectors | G3Error] = {}
    with embedding_of(encoder, a_batch=a_batch) as embedding:

        def caller(seed: int) -> None:
            (found[seed],) = embedding.images([photos[seed]], embedding.call(60))

        threads = [threading.Thread(target=caller, args=(seed,)) for seed in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    for seed, photo in enumerate(photos):
        vectors = found[seed]
        assert isinstance(vectors, ImageVectors)
        pixels = encoder.pixels(Image.open(io.BytesIO(photo)).convert("RGB"))
        for row, plain in zip(vectors, encoder.encode_images([encoder.stage(pixels)]), strict=True):
            assert float(row @ plain[0]) >= 0.9999
