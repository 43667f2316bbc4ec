"""InfoNCE against its definition, and what counts as a negative."""

import math

import numpy as np
import pytest
import torch
from g3_kit.errors import Rejected
from g3_training.contrast import contrast, first_choices, of_one_place, within
from g3_training.recipe import Recipe
from g3_training.sampling import Sampler, held_out, share_of
from g3_training.schedule import factor
from torch import Tensor

SCALE = torch.tensor(2.0)


def by_hand(left: Tensor, right: Tensor, same: Tensor) -> float:
    """The definition, term by term."""
    total = 0.0
    for one, other in ((left, right), (right, left)):
        for i in range(len(one)):
            similar = [
                math.exp(math.exp(2.0) * float(torch.cosine_similarity(one[i], other[j], dim=0)))
                for j in range(len(one))
                if j == i or not same[i, j]
            ]
            own = math.exp(math.exp(2.0) * float(torch.cosine_similarity(one[i], other[i], dim=0)))
            total -= math.log(own / sum(similar)) / (2 * len(one))
    return total


def test_the_loss_is_the_definition_without_photos_of_one_place() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 6, 5, generator=generator)
    for places in (torch.arange(6), torch.tensor([0, 1, 0, 2, 1, 0])):
        same = of_one_place(places)
        assert float(contrast(left, right, SCALE, same)) == pytest.approx(by_hand(left, right, same), rel=1e-5)


def test_photos_of_one_place_do_not_push_each_other() -> None:
    left = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    right = left.detach().clone()
    contrast(left, right, SCALE, of_one_place(torch.zeros(3))).backward()  # type: ignore[no-untyped-call]
    assert left.grad is not None
    assert left.grad.abs().max() == 0


def test_first_choices_accept_the_own_place() -> None:
    left = torch.eye(3)
    right = left[[1, 0, 2]]
    assert first_choices(left, right, of_one_place(torch.arange(3))).tolist() == [0, 0, 1]
    assert first_choices(left, right, of_one_place(torch.tensor([7, 7, 8]))).tolist() == [1, 1, 1]


def test_nearness_on_the_sphere_also_across_the_antimeridian() -> None:
    places = torch.tensor([[0.0, 179.999], [0.0, -179.999], [0.0, 179.9], [90.0, 0.0], [90.0, 120.0]]).double()
    near = within(places, 1.0)
    assert near[0, 1]
    assert not near[0, 2]
    assert near[3, 4]
    assert near.diagonal().all()


def test_epochs_are_shuffled_seeded_and_whole() -> None:
    sampler = Sampler(np.arange(100, 150), 8, seed=4)
    first, second = sampler.epoch(0), sampler.epoch(1)
    assert first.shape == (6, 8)
    assert len(np.unique(first)) == 48
    assert set(first.ravel()) <= set(range(100, 150))
    assert (first != second).any()
    assert (first == Sampler(np.arange(100, 150), 8, seed=4).epoch(0)).all()
    assert (first != Sampler(np.arange(100, 150), 8, seed=5).epoch(0)).any()
    parts = [share_of(first[0], rank, 4) for rank in range(4)]
    assert np.concatenate(parts).tolist() == first[0].tolist()
    with pytest.raises(Rejected, match="shared"):
        share_of(first[0], 0, 3)
    with pytest.raises(Rejected, match="fewer"):
        Sampler(np.arange(4), 8, seed=0)
    with pytest.raises(Rejected, match="two photos"):
        Sampler(np.arange(4), 1, seed=0)


def test_places_are_held_out_whole_and_the_same_everywhere() -> None:
    keys = [f"city {i}" for i in range(2000)]
    place = np.repeat(np.arange(2000), 2)
    out = held_out(place, keys, 0.1, seed=0)
    assert (out[0::2] == out[1::2]).all()
    assert 0.07 < out.mean() < 0.13
    assert (held_out(place[:100], keys, 0.1, seed=0) == out[:100]).all()
    assert (held_out(place, keys, 0.1, seed=1) != out).any()
    assert not held_out(place, keys, 0.0, seed=0).any()


def test_schedules() -> None:
    paper = [factor("exponential", progress=0, epoch=epoch, step=9, warm_up=0) for epoch in range(3)]
    assert paper == pytest.approx([1.0, 0.87, 0.87**2])
    cosine = [factor("cosine", progress=share, epoch=0, step=99, warm_up=10) for share in (0.0, 0.5, 1.0)]
    assert cosine == pytest.approx([1.0, 0.5, 1e-4])
    assert factor("cosine", progress=0, epoch=0, step=0, warm_up=10) == pytest.approx(0.1)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"learning_rate": 0}, {"holdout": 1.0}, {"minutes": 0.0}])
def test_recipes_that_cannot_be_are_rejected(wrong: dict[str, float]) -> None:
    with pytest.raises(Rejected, match=next(iter(wrong))):
        Recipe(**wrong)  # type: ignore[arg-type]
