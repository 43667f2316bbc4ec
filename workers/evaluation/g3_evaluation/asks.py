"""The ways in which a photo is put to the server, and what each of them asks.

Every curve, ablation and ranking that can be answered from what was said already is: one superset of answers (K prompts
of N samples, S retrieved) is asked for once. Only another retrieval, another prompt or another strategy asks again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from g3_evaluation.query_sets import Query

_ALL_CANDIDATES = 50
"""The most that the API returns."""


class Ask(StrEnum):
    """One way of asking. The value names it in files; `words` in tables."""

    NEAR = "near"
    PAPER = "paper"
    DEFAULT = "default"
    CLIP = "clip"
    CLIP_GPS = "clip_gps"
    KNN = "knn"
    GALLERY = "gallery"
    IMG2LOC = "img2loc"

    @property
    def words(self) -> str:
        """A sentence."""
        return _WORDS[self]

    @property
    def needs_lmm(self) -> bool:
        """Whether the LMM is asked."""
        return self not in (Ask.NEAR, Ask.KNN, Ask.GALLERY)


_WORDS = {
    Ask.NEAR: "the nearest references by plain CLIP, without an LMM: for the control of leakage",
    Ask.PAPER: "profile paper, with more samples and references than it takes",
    Ask.DEFAULT: "profile default",
    Ask.CLIP: "profile paper, references retrieved by the plain CLIP vector",
    Ask.CLIP_GPS: "profile paper, references retrieved by the CLIP and the GPS-aligned vector",
    Ask.KNN: "strategy knn: nearest references with a Gaussian kernel",
    Ask.GALLERY: "strategy gallery: image-GPS search of the references' coordinates",
    Ask.IMG2LOC: "strategy img2loc: one prompt with references, no verification",
}


SUPERSETS = (Ask.PAPER, Ask.CLIP, Ask.CLIP_GPS)
"""Ways that ask for more than their profile takes, so that curves and ablations need not ask again."""


@dataclass(frozen=True)
class Superset:
    """What is asked for once: `samples` of each prompt (N), `retrieved` references among the candidates (S)."""

    samples: int = 5
    retrieved: int = 20


def parameters(ask: Ask, superset: Superset) -> dict[str, Any]:
    """The parameters of a job that are the same for every photo."""
    paper = {
        "profile": "paper",
        "samples_per_prompt": superset.samples,
        "retrieved_candidates": superset.retrieved,
        "top_k": _ALL_CANDIDATES,
    }
    table: dict[Ask, dict[str, Any]] = {
        Ask.NEAR: {
            "profile": "paper",
            "references_per_prompt": [],
            "retrieval_vector": "clip",
            "dissimilar": "none",
            "retrieved_candidates": _ALL_CANDIDATES,
        },
        Ask.PAPER: paper,
        Ask.DEFAULT: {"profile": "default", "samples_per_prompt": superset.samples, "top_k": _ALL_CANDIDATES},
        Ask.CLIP: paper | {"retrieval_vector": "clip"},
        Ask.CLIP_GPS: paper | {"retrieval_vector": "clip_gps"},
        Ask.KNN: {"profile": "paper", "strategy": "knn"},
        Ask.GALLERY: {"profile": "paper", "strategy": "gallery"},
        Ask.IMG2LOC: {"profile": "paper", "strategy": "img2loc"},
    }
    return table[ask]


def of_photo(
    ask: Ask, superset: Superset, query: Query, *, exclude_author: bool, excluded: Sequence[str]
) -> dict[str, Any]:
    """The parameters for one photo: without references by its author, or by id."""
    asked = dict(parameters(ask, superset))
    if exclude_author and query.author:
        asked["excluded_authors"] = [query.author]
    if excluded:
        asked["excluded_references"] = list(excluded)
    return asked


def key_of(run: str, sha256: str, asked: Mapping[str, Any], attempt: int = 0) -> str:
    """The Idempotency-Key: the same photo and parameters of the same run are the same job, however often asked."""
    stated = json.dumps([run, sha256, asked, attempt], sort_keys=True, separators=(",", ":"))
    return "g3-eval-" + hashlib.sha256(stated.encode()).hexdigest()[:40]
