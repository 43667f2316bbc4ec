"""Stages for an LMM such as real jobs have: a photo and four prompts with 0, 5, 10 and 15 pairs of named places."""

from collections.abc import Iterator

import numpy as np
from g3_dialogue import Contrast, Prompt, PromptOrder, Reference, rendered
from g3_generation.stages import Claim
from g3_geography import Gazetteer

from tests.servers.photos import jpeg

PAIRS = (0, 5, 10, 15)
SIDE = (1024, 768)
"""Of a photo as a claim carries it."""


def claim(seed: int, order: PromptOrder, *, samples: int = 5, budget_s: float = 300.0) -> Claim:
    """A stage; another seed has another photo and other references, another order asks the same."""
    return Claim(60.0, budget_s, prompts(seed, samples), frozenset(), jpeg(seed, SIDE), 1.2, order)


def prompts(seed: int, samples: int = 5) -> tuple[Prompt, ...]:
    """The four prompts, prefixes of one another in `image_first`."""
    places = references(seed, 2 * PAIRS[-1])
    similar, unlike = places[::2], places[1::2]
    return tuple(
        Prompt(index, samples, similar[:count], unlike[:count], Contrast.HARD) for index, count in enumerate(PAIRS)
    )


def references(seed: int, count: int) -> tuple[Reference, ...]:
    """Places near real towns, with as many decimals as MP16's."""
    generator = np.random.default_rng(seed)
    cities = Gazetteer().cities()
    rows = generator.choice(len(cities), count, replace=False)
    off = generator.normal(0, 0.02, (count, 2))
    return tuple(
        Reference(
            round(float(cities.latitudes[row] + north), 6),
            round(float(cities.longitudes[row] + east), 6),
            str(cities.places[row]),
        )
        for row, (north, east) in zip(rows, off, strict=True)
    )


def corpus(seed: int = 1_000_000, stages: int = 200) -> Iterator[str]:
    """Texts like those of the prompts, to learn a tokenizer from; none that `claim` makes of smaller seeds.

    Learnt so it gives these prompts as many tokens as real ones do: those of seed 5 with 15 pairs 835 in the paper's
    order and 1,108 with the photo first (Mistral's of 32,000 tokens: 854 and 1,132; its Tekken: 832 and 1,055).
    """
    for number in range(seed, seed + stages):
        longest = prompts(number)[-1]
        for order in PromptOrder:
            yield from (part for part in rendered(longest, b"", order) if isinstance(part, str))
