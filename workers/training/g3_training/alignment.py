"""Phase 2: G3's heads and GPS encoder on the cached outputs of the frozen towers."""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from g3_alignment import AlignmentModel
from numpy.typing import NDArray
from torch import Tensor, nn

from g3_training.cache import Cache
from g3_training.contrast import contrast, first_choices, of_one_place, within
from g3_training.processes import Processes
from g3_training.sampling import Rows, share_of

Variant = Literal["image-gps", "image-gps-text"]
_MOST_VALIDATED = 8192


class FeatureBatch(NamedTuple):
    """This process's share: image and text features float32 [n, d], coordinates float64 [n, 2], places int64 [n]."""

    images: Tensor
    texts: Tensor
    coordinates: Tensor
    places: Tensor


class Alignment:
    """`Task`: image-text and image-GPS contrasts, each with a temperature of its own."""

    def __init__(
        self,
        model: AlignmentModel,
        cache: Cache,
        processes: Processes,
        validation: Rows,
        *,
        batch: int,
        variant: Variant = "image-gps-text",
        place_km: float = 1.0,
    ) -> None:
        """`validation` rows are never trained on. `variant` image-gps leaves the text side as it is.

        Photos with one text are not each other's negatives against texts, nor those within `place_km` against
        coordinates.
        """
        self._model, self._cache, self._processes = model, cache, processes
        self._variant, self._batch, self._place_km = variant, batch, place_km
        self._validation: NDArray[np.int64] = validation[:_MOST_VALIDATED]
        trained: dict[str, nn.Module] = {
            "image_gps_head": model.image_gps_head,
            "gps_encoder": model.gps_encoder,
            "gps_head": model.gps_head,
        }
        scales = {"logit_scale_image_gps": model.logit_scale_image_gps}
        if variant == "image-gps-text":
            trained |= {"image_text_head": model.image_text_head, "text_head": model.text_head}
            scales["logit_scale_image_text"] = model.logit_scale_image_text
        self.module: nn.Module = nn.ModuleDict({**trained, "scales": nn.ParameterDict(scales)})
        self.shared = list(scales.values())

    def batches(self, rows: Iterable[Rows]) -> Iterator[FeatureBatch]:
        """See `Task`."""
        processes, cache = self._processes, self._cache
        for batch in rows:
            own = share_of(batch, processes.rank, processes.size)
            text = cache.text[own]
            columns = (cache.images.rows(own), cache.texts.rows(text), cache.coordinates[own], text)
            yield FeatureBatch(*(torch.from_numpy(column).to(processes.device) for column in columns))

    def losses(self, batch: FeatureBatch) -> dict[str, Tensor]:
        """See `Task`."""
        return self._compared(batch)[0]

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """See `Task`: the loss and its parts, and how often a photo's own coordinates are the first of its batch."""
        size = min(self._batch, len(self._validation))
        size -= size % self._processes.size
        if size < 2:
            return {}
        rows = [self._validation[i : i + size] for i in range(0, len(self._validation) - size + 1, size)]
        sums: dict[str, list[float]] = {}
        for batch in self.batches(rows):
            losses, recall = self._compared(batch)
            for name, number in {**losses, "recall": recall}.items():
                sums.setdefault(name, []).append(float(number))
        means = {name: float(np.mean(numbers)) for name, numbers in sums.items()}
        return {"loss": sum(mean for name, mean in means.items() if name != "recall"), **means}

    def _compared(self, batch: FeatureBatch) -> tuple[dict[str, Tensor], Tensor]:
        model, gathered = self._model, self._processes.gathered
        coordinates = gathered(batch.coordinates)
        images = gathered(model.image_gps_head(batch.images))
        gps = gathered(model.gps_head(model.gps_encoder(batch.coordinates)))
        near = within(coordinates, self._place_km)
        losses = {"image_gps": contrast(images, gps, model.logit_scale_image_gps, near)}
        if self._variant == "image-gps-text":
            photos = gathered(model.image_text_head(batch.images))
            texts = gathered(model.text_head(batch.texts))
            same = of_one_place(gathered(batch.places))
            losses["image_text"] = contrast(photos, texts, model.logit_scale_image_text, same)
        return losses, first_choices(images, gps, near).mean()
