"""Symmetric InfoNCE in which photos of one place are not each other's negatives.

Source: CLIP (Radford et al., 2021) for the loss; G3 (Jia et al., NeurIPS 2024) for the pairs and the temperatures.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

EARTH_RADIUS_KM = 6371.0088
# CLIP's bound on the temperature: logits above 100 · cosine train badly
LARGEST_LOGIT_SCALE = 4.6052


def contrast(left: Tensor, right: Tensor, logit_scale: Tensor, same: Tensor) -> Tensor:
    """The mean over both directions of the cross-entropy of finding one's own partner; a scalar.

    `left` and `right` float [n, d], not normalised; `logit_scale` the logarithm of the inverse temperature; `same`
    bool [n, n], pairs that show one place and count neither for nor against (the diagonal always counts for).
    """
    scale = logit_scale.clamp(max=LARGEST_LOGIT_SCALE).exp()
    logits = scale * normalize(left.float(), dim=-1) @ normalize(right.float(), dim=-1).T
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(same & ~own, float("-inf"))
    target = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def first_choices(left: Tensor, right: Tensor, same: Tensor) -> Tensor:
    """float32 [n]: 1 where the partner most like `left` is its own or one of the same place."""
    nearest = (normalize(left.float(), dim=-1) @ normalize(right.float(), dim=-1).T).argmax(dim=1)
    own = nearest == torch.arange(len(nearest), device=nearest.device)
    return (own | same[torch.arange(len(nearest), device=nearest.device), nearest]).float()


def of_one_place(numbers: Tensor) -> Tensor:
    """int64 [n] numbers of places → bool [n, n]."""
    return numbers[:, None] == numbers[None, :]


def within(coordinates: Tensor, radius_km: float) -> Tensor:
    """float64 [n, 2] degrees → bool [n, n], whether two lie within `radius_km` on the sphere."""
    radians = torch.deg2rad(coordinates)
    latitude, longitude = radians[:, 0], radians[:, 1]
    # haversine, which keeps its digits at short distances
    half = torch.sin((latitude[:, None] - latitude[None]) / 2) ** 2
    half = half + latitude.cos()[:, None] * latitude.cos()[None] * (
        torch.sin((longitude[:, None] - longitude[None]) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * torch.asin(half.clamp(0, 1).sqrt()) <= radius_km
