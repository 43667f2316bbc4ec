"""The rows of the tables: which way of asking each stands on, and how its answer is read out of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from g3_choice import WITHIN_KM, Ranking

from g3_evaluation.asks import Ask
from g3_evaluation.outcomes import Outcome, Place
from g3_evaluation.rescoring import PAPER, Part, place, proposals


@dataclass(frozen=True)
class Entry:
    """A row. `published`: the printed row that it is compared with, "" for none."""

    name: str
    words: str
    ask: Ask
    place: Callable[[Outcome], Place | None] = field(compare=False)
    published: str = ""


def _stated(outcome: Outcome) -> Place | None:
    """What the job answered; see `rescoring.as_paper` for the supersets."""
    return outcome.place


def _nearest(outcome: Outcome) -> Place | None:
    return (outcome.references[0].latitude, outcome.references[0].longitude) if outcome.references else None


def _by(ranking: Ranking) -> Callable[[Outcome], Place | None]:
    return lambda outcome: place(proposals(outcome, PAPER), ranking)


def _one_prompt(outcome: Outcome) -> Place | None:
    """Only the prompt with the most references, which is the last."""
    prompts = {voice.prompt for voice in outcome.voices if voice.origin == "lmm"}
    return place(proposals(outcome, Part(prompts={max(prompts, default=0)}, retrieved=1)), Ranking.SIMILARITY)


def _by_similarity(outcome: Outcome) -> Place | None:
    return place(proposals(outcome), Ranking.SIMILARITY, WITHIN_KM)


ENTRIES = (
    Entry("default", "G3, profile default", Ask.DEFAULT, _stated),
    Entry("paper", "G3, profile paper", Ask.PAPER, _stated, "G3"),
    Entry("knn", "kNN, Gaussian kernel", Ask.KNN, _stated, "[L]kNN, \N{GREEK SMALL LETTER SIGMA} = 4"),
    Entry("gallery", "image-GPS gallery (GeoCLIP's way)", Ask.GALLERY, _stated, "GeoCLIP"),
    Entry("img2loc", "Img2Loc", Ask.IMG2LOC, _stated, "Img2Loc"),
    Entry(
        "no_alignment",
        "paper without Geo-alignment (retrieval by plain CLIP)",
        Ask.CLIP,
        _stated,
        "G3 without Geo-alignment",
    ),
    Entry(
        "no_diversification",
        "paper without Geo-diversification (one prompt)",
        Ask.PAPER,
        _one_prompt,
        "G3 without Geo-diversification",
    ),
    Entry(
        "no_verification_mean",
        "paper without Geo-verification (mean of the candidates)",
        Ask.PAPER,
        _by(Ranking.MEAN),
        "G3 without Geo-verification",
    ),
    Entry(
        "no_verification_first",
        "paper without Geo-verification (first candidate)",
        Ask.PAPER,
        _by(Ranking.FIRST),
        "G3 without Geo-verification",
    ),
    Entry("img_gps", "paper, retrieval by IMG+GPS", Ask.CLIP_GPS, _stated),
    Entry("default_similarity", "default, chosen by similarity alone", Ask.DEFAULT, _by_similarity),
    Entry("nearest", "the nearest reference, all three vectors", Ask.PAPER, _nearest),
)
"""In the order of the tables."""
ABLATIONS = ("no_alignment", "no_diversification", "no_verification_mean", "no_verification_first")
BASELINES = ("knn", "gallery", "img2loc", "nearest")
REPRESENTATIONS = {"no_alignment": "IMG", "img_gps": "IMG+GPS", "paper": "IMG+GPS+TEXT"}
PAIRS = (
    ("default", "paper"),
    *(("default", name) for name in (*BASELINES, *ABLATIONS, "default_similarity")),
    *(("paper", name) for name in (*BASELINES, *ABLATIONS)),
)
"""Which rows are compared photo by photo."""


def entry(name: str) -> Entry:
    """The row of that name."""
    return next(each for each in ENTRIES if each.name == name)
