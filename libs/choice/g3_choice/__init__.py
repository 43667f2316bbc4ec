"""How the answer is chosen among the candidates of a photo: online, in evaluation, and in fitting, by the same code.

::

    Proposal     one voice for one point: an answer of the LMM, a retrieved reference, a point of the gallery
    merged       proposals become candidates: duplicates merge, and none of their sources is forgotten
    scored       candidates with their image-GPS cosines
    choose       similarity | consensus | first | mean: the answer, distinct places, confidence, radius, abstention
    ChoiceModel  fitted weights and calibration, a small JSON file; model_for: the one that fits an alignment model
"""

from g3_choice.choice import THRESHOLDS_KM, Choice, DistinctPlace, Ranked, Ranking
from g3_choice.model import DEFAULT, ChoiceModel, Fitted, model_for
from g3_choice.pool import WITHIN_KM, merged, scored
from g3_choice.proposals import Candidate, Origin, Proposal
from g3_choice.ranking import choose

__all__ = [
    "DEFAULT",
    "THRESHOLDS_KM",
    "WITHIN_KM",
    "Candidate",
    "Choice",
    "ChoiceModel",
    "DistinctPlace",
    "Fitted",
    "Origin",
    "Proposal",
    "Ranked",
    "Ranking",
    "choose",
    "merged",
    "model_for",
    "scored",
]
