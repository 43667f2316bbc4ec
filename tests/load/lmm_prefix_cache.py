"""Prompt tokens that a real vLLM computes for the four prompts of one photo, photo first against the paper's order.

    python tests/load/lmm_prefix_cache.py [--photos 5] [--samples 5] [--model sharp] [--json]

Wanted: with `image_first` at most 0.45 of those with `paper`. Both orders ask the same of the same server in one run,
in turns, each with a photo that the server has never seen; the worker's own code puts the questions. Counted by the
server: `vllm:prompt_tokens_total` less `vllm:prefix_cache_hits_total`. The model is tiny and random, which changes no
count: a photo of 1,024 x 768 has about as many tokens as in Qwen2.5-VL (961; `--model llava-1.5`: 576, `small`: 16), a
text about as many as in a real tokenizer.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from g3_dialogue import PromptOrder
from g3_generation.fakes import FakeStages
from g3_generation.generation import Generation, Outcome
from g3_generation.openai_sampler import OpenAISampler
from g3_generation.stages import StageRef

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.servers.lmm_stages import claim, corpus
from tests.servers.tiny_llava import LLAVA_1_5, SHARP, SMALL, Shape, write
from tests.servers.vllm import API_KEY, MODEL, Vllm

WANTED = 0.45
MODELS = {"sharp": SHARP, "llava-1.5": LLAVA_1_5, "small": SMALL}


class Orders:
    """Asks stages in either order and reads what the server says that they cost."""

    def __init__(self, server: Vllm, samples: int) -> None:
        self._server = server
        self._samples = samples
        self._sampler = OpenAISampler(server.url, MODEL, api_key=API_KEY, max_tokens=48)

    def close(self) -> None:
        """Ends the sampler."""
        self._sampler.close()

    def cost(self, seed: int, order: PromptOrder) -> dict[str, float]:
        """Prompt tokens of one stage: all, and computed. `seed`: another one has a photo never seen before."""
        before = self._server.metrics()
        stages = FakeStages()
        stages.put("job", claim(seed, order, samples=self._samples))
        outcome = Generation(stages, self._sampler).run(StageRef("job", "generate", 1, f"{order.value}-{seed}"))
        if outcome is not Outcome.COMPLETED:
            raise RuntimeError(f"the stage ended {outcome.value}: {stages.reason('job')}")
        after = self._server.metrics()
        told = {name: after[name] - before.get(name, 0.0) for name in after}
        prompt = told["vllm:prompt_tokens_total"]
        return {"prompt": prompt, "computed": prompt - told["vllm:prefix_cache_hits_total"]}


def measure(photos: int, samples: int, shape: Shape) -> dict[str, list[dict[str, float]]]:
    """The costs of so many stages in each order, in turns."""
    with tempfile.TemporaryDirectory(prefix="g3-load-") as name:
        folder = Path(name)
        model = write(folder / "model", shape=shape, corpus=[*corpus()])
        with Vllm(folder, model) as server:
            orders = Orders(server, samples)
            try:
                # Instructions are the same for every photo: whichever came first would pay for them.
                orders.cost(0, PromptOrder.PAPER)
                orders.cost(1, PromptOrder.IMAGE_FIRST)
                costs: dict[str, list[dict[str, float]]] = {order.value: [] for order in PromptOrder}
                for round_ in range(1, photos + 1):
                    for turn, order in enumerate(PromptOrder):
                        # The same references with another photo would share their text: all is fresh.
                        costs[order.value].append(orders.cost(2 * round_ + turn, order))
                return costs
            finally:
                orders.close()


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=5, help="photos in each order")
    parser.add_argument("--samples", type=int, default=5, help="samples of one prompt")
    parser.add_argument("--model", choices=MODELS, default="sharp", help="how many tokens a photo has")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    costs = measure(asked.photos, asked.samples, MODELS[asked.model])
    computed = {order: [cost["computed"] for cost in costs[order]] for order in costs}
    medians = {order: statistics.median(computed[order]) for order in costs}
    ratio = medians[PromptOrder.IMAGE_FIRST.value] / medians[PromptOrder.PAPER.value]
    met = ratio <= WANTED
    if asked.json:
        print(json.dumps({"costs": costs, "ratio": round(ratio, 3), "wanted": WANTED, "met": met}))
        return 0 if met else 1
    for order in costs:
        prompt = statistics.median(cost["prompt"] for cost in costs[order])
        print(f"  {order:12} {medians[order]:7.0f} of {prompt:7.0f} prompt tokens computed, photos {computed[order]}")
    print(f"  ratio {ratio:.3f}; wanted at most {WANTED}: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
