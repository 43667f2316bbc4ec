"""Phase 1: the towers themselves, photo against the text of its place (CLIP)."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from g3_alignment import AlignmentModel
from g3_kit.errors import Rejected
from torch import Tensor, nn

from g3_training.contrast import contrast, first_choices, of_one_place
from g3_training.pixels import PixelLoader
from g3_training.processes import Processes
from g3_training.sampling import Rows, share_of
from g3_training.sources import PhotoSource

_MOST_VALIDATED = 4096


class PhotoBatch(NamedTuple):
    """This process's share: float32 [n, 3, s, s], and the number of each photo's text, int64 [n]."""

    pixels: Tensor
    texts: Tensor


class Pretraining:
    """`Task`: the model's towers on photos and texts."""

    def __init__(
        self,
        model: AlignmentModel,
        source: PhotoSource,
        processes: Processes,
        validation: Rows,
        *,
        batch: int,
        neighbourhood: bool = False,
        threads: int = 0,
    ) -> None:
        """`validation` rows are never trained on; `neighbourhood` puts it into the text (the poster's G3-N).

        Raises Rejected for towers without a temperature.
        """
        self.module: nn.Module = model.tower
        if not isinstance(getattr(model.tower, "logit_scale", None), nn.Parameter):
            raise Rejected("These towers have no temperature of their own: take CLIP towers.", field="model")
        self.shared = [model.tower.logit_scale]
        self._tower, self._processes, self._batch = model.tower, processes, batch
        self._loader = PixelLoader(source, model.configuration.preprocessing, threads)
        texts = [names.text(neighbourhood=neighbourhood) for names in source.table.places]
        distinct = sorted(set(texts))
        number = {text: index for index, text in enumerate(distinct)}
        of_place = np.array([number[text] for text in texts], dtype=np.int64)
        self._text = of_place[source.table.place]  # int64 [n]
        self._tokens = model.tokens(distinct)
        self._validation = validation[:_MOST_VALIDATED]

    def batches(self, rows: Iterable[Rows]) -> Iterator[PhotoBatch]:
        """See `Task`."""
        processes = self._processes
        wanted = (share_of(batch, processes.rank, processes.size) for batch in rows)
        for block in self._loader.blocks(wanted):
            if block.faults and processes.size > 1:
                raise Rejected(f"Photos cannot be read: {next(iter(block.faults.values()))}.", field="source")
            if len(block.rows) < 2:
                raise Rejected("None of a whole batch of photos can be read.", field="source")
            yield PhotoBatch(block.pixels, torch.from_numpy(self._text[block.rows]))

    def losses(self, batch: PhotoBatch) -> dict[str, Tensor]:
        """See `Task`."""
        images, texts, numbers = self._encoded(batch)
        return {"image_text": contrast(images, texts, self._tower.logit_scale, of_one_place(numbers))}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """See `Task`: the loss, and `recall`, how often a photo's own text is the first of its batch."""
        size = self._batch - self._batch % self._processes.size
        rows = [self._validation[i : i + size] for i in range(0, len(self._validation) - size + 1, size)]
        losses, hits = [], []
        for batch in self.batches(rows or ([self._validation] if self._even() else [])):
            images, texts, numbers = self._encoded(batch)
            same = of_one_place(numbers)
            losses.append(contrast(images, texts, self._tower.logit_scale, same))
            hits.append(first_choices(images, texts, same).mean())
        if not losses:
            return {}
        return {"loss": float(torch.stack(losses).mean()), "recall": float(torch.stack(hits).mean())}

    def close(self) -> None:
        """Ends the loader's threads."""
        self._loader.close()

    def _even(self) -> bool:
        return len(self._validation) > 1 and len(self._validation) % self._processes.size == 0

    def _encoded(self, batch: PhotoBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Both sides of the whole batch over all processes, [n, d] twice, and the number of each text."""
        device = self._processes.device
        images = self._tower.encode_image(batch.pixels.to(device, non_blocking=True))
        # places repeat in a batch: each text is encoded once
        distinct, which = torch.unique(batch.texts, return_inverse=True)
        texts = self._tower.encode_text(self._tokens[distinct].to(device))[which.to(device)]
        gathered = self._processes.gathered
        return gathered(images), gathered(texts), gathered(batch.texts.to(device))
