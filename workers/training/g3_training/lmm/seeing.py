"""Phase 1: the demo LMM's eye. A CLIP vision tower learns to give the vectors that the alignment model gives.

The alignment's own tower is of convolutions, which LLaVA knows nothing of. Learning its vectors is quicker than
learning from places: every photo says where it lies among all others, in three spaces.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from g3_alignment import Preprocessing
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPVisionModel

from g3_training.pixels import PixelLoader
from g3_training.sampling import Rows
from g3_training.sources import PhotoSource

_MOST_VALIDATED = 2048
_VALIDATED_AT_ONCE = 256


class SeenBatch(NamedTuple):
    """float32 [n, 3, s, s] and the teacher's vectors, float32 [n, 3 · d], each third of unit length."""

    pixels: Tensor
    vectors: Tensor


class Seeing(nn.Module):
    """The tower with a linear map from the mean of its patches to the three vectors."""

    def __init__(self, tower: CLIPVisionModel, dimension: int) -> None:
        """`dimension` d of one vector."""
        super().__init__()
        self.tower = tower
        self.head = nn.Linear(tower.config.hidden_size, 3 * dimension)
        self._dimension = dimension

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 3, s, s] → [n, 3, d] of unit length."""
        # the patches are what the LMM will see: the class token stays out of it
        patches = self.tower(pixel_values=pixels).last_hidden_state[:, 1:]
        vectors = self.head(patches.mean(dim=1)).unflatten(1, (3, self._dimension))
        return nn.functional.normalize(vectors, dim=-1)


class Distilling:
    """`Task`: photos against the vectors that the alignment model gives them."""

    def __init__(
        self,
        seeing: Seeing,
        source: PhotoSource,
        vectors: NDArray,  # type: ignore[type-arg]
        preprocessing: Preprocessing,
        validation: Rows,
        *,
        threads: int = 0,
    ) -> None:
        """`vectors` float16 or float32 [3, n, d], in the order of the source's rows."""
        self.module: nn.Module = seeing
        self.shared: list[nn.Parameter] = []
        self._seeing, self._vectors = seeing, vectors
        self._loader = PixelLoader(source, preprocessing, threads)
        self._validation = validation[:_MOST_VALIDATED]

    def batches(self, rows: Iterable[Rows]) -> Iterator[SeenBatch]:
        """See `Task`."""
        for block in self._loader.blocks(rows):
            vectors = torch.from_numpy(self._vectors[:, block.rows]).float().transpose(0, 1)
            yield SeenBatch(block.pixels, vectors)

    def losses(self, batch: SeenBatch) -> dict[str, Tensor]:
        """See `Task`: one minus the cosine, by space."""
        cosines = (self._seeing(batch.pixels) * batch.vectors).sum(dim=-1).mean(dim=0)
        return {name: 1 - cosine for name, cosine in zip(("clip", "text", "gps"), cosines, strict=True)}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """See `Task`."""
        rows = [
            self._validation[i : i + _VALIDATED_AT_ONCE] for i in range(0, len(self._validation), _VALIDATED_AT_ONCE)
        ]
        sums = [torch.stack(list(self.losses(batch).values())).sum() for batch in self.batches(rows)]
        return {"loss": float(torch.stack(sums).mean())} if sums else {}

    def close(self) -> None:
        """Ends the loader's threads."""
        self._loader.close()
