"""From candidates to the one result: `g3_choice` chooses, and what it says is put into words and names."""

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

import g3_choice
from g3_choice import DEFAULT, Choice, ChoiceModel, choose, model_for
from g3_kit import logs

from g3_orchestrator.candidates import fitting, named, points, references
from g3_orchestrator.model import Candidate, Dropped, LikelyPlace, Result, Retrieval, Source, Within
from g3_orchestrator.neighbours import by_density
from g3_orchestrator.parameters import Parameters
from g3_orchestrator.ports import Namer
from g3_orchestrator.states import Origin, Profile, Ranking, Strategy

_log = logs.get("g3_orchestrator.judging")

MOST_TOLD = 200
"""Candidates of a result. Answers of the LMM are all told, wherever they rank."""


class Judge:
    """Chooses answers. Thread-safe."""

    def __init__(self, namer: Namer, model: Path | None = None) -> None:
        """`model`: a file of `g3_choice`, used where it fits the alignment model; else the shipped one that does.

        Raises Missing or Rejected for a file that is no such model.
        """
        self._namer = namer
        self._files = () if model is None else (model,)
        self._models: dict[str, ChoiceModel] = {}
        self._lock = threading.Lock()
        if model is not None:
            ChoiceModel.load(model)

    def result(
        self,
        candidates: Sequence[g3_choice.Candidate],
        retrieval: Retrieval,
        parameters: Parameters,
        dropped: tuple[Dropped, ...] = (),
    ) -> Result:
        """The result of a strategy with LMM and candidates. Raises Missing when there is nothing to choose from."""
        verified = parameters.strategy is Strategy.G3
        # The calibration is that of verified pools: of others it would say what nobody has measured.
        model = self._model(retrieval.release.model) if verified else DEFAULT
        below = parameters.abstain_below
        choice = choose(
            candidates,
            g3_choice.Ranking(parameters.ranking.value),
            top_k=parameters.top_k,
            model=model,
            abstain_below=below.probability if below else None,
            abstain_within_km=below.within_km if below else g3_choice.THRESHOLDS_KM[0],
        )
        # A confidence that cannot be stated is not the one that was asked for.
        abstained = choice.abstained or (below is not None and not choice.calibrated)
        return self._told(choice, retrieval, parameters, dropped, model if verified else None, abstained)

    def at_once(self, retrieval: Retrieval, parameters: Parameters) -> Result:
        """The result of `knn` or `gallery`. Raises Missing when nothing was found."""
        if parameters.strategy is Strategy.GALLERY:
            proposals, ranking = points(retrieval.gallery), g3_choice.Ranking.SIMILARITY
        else:
            neighbours = by_density(fitting(retrieval.similar, parameters.hints)[: parameters.retrieved_candidates])
            proposals = references([neighbour.match for neighbour in neighbours])
            ranking = g3_choice.Ranking.FIRST
        choice = choose(merged(proposals, parameters), ranking, top_k=parameters.top_k, model=DEFAULT)
        return self._told(choice, retrieval, parameters, (), None, abstained=False)

    def _model(self, alignment: str) -> ChoiceModel:
        with self._lock:
            if alignment not in self._models:
                found = self._models[alignment] = model_for(alignment, *self._files)
                if not found.fits(alignment):
                    _log.warning("no choice model is fitted to the alignment model: no confidence", model=alignment)
            return self._models[alignment]

    def _told(
        self,
        choice: Choice,
        retrieval: Retrieval,
        parameters: Parameters,
        dropped: tuple[Dropped, ...],
        model: ChoiceModel | None,
        abstained: bool,
    ) -> Result:
        ranked = [one for one in choice.ranked if one.rank <= MOST_TOLD or one.candidate.origin is g3_choice.Origin.LMM]
        spots = [
            choice.coordinates,
            *(p.coordinates for p in choice.places),
            *(r.candidate.coordinates for r in ranked),
        ]
        answer, *others = named(spots, self._namer)
        likely, rest = others[: len(choice.places)], others[len(choice.places) :]
        mean = parameters.ranking is Ranking.MEAN
        return Result(
            coordinates=choice.coordinates,
            place=answer,
            # The mean is a point that nobody proposed and nobody scored.
            similarity=None if mean else choice.ranked[0].candidate.similarity,
            candidates=tuple(
                Candidate(
                    coordinates=one.candidate.coordinates,
                    origin=Origin(one.candidate.origin.value),
                    similarity=one.candidate.similarity,
                    rank=one.rank,
                    place=place,
                    prompt=one.candidate.sources[0].prompt,
                    sample=one.candidate.sources[0].sample,
                    reference_id=one.candidate.sources[0].reference_id,
                    sources=_sources(one.candidate),
                    probability=one.probability if model else None,
                    in_place=one.place + 1 if one.place < len(choice.places) else 0,
                )
                for one, place in zip(ranked, rest, strict=True)
            ),
            references=retrieval.similar,
            dropped=dropped,
            release=retrieval.release,
            places=tuple(
                LikelyPlace(one.coordinates, place, one.probability if model else None, one.radius_km, len(one.members))
                for one, place in zip(choice.places, likely, strict=True)
            ),
            confidence=tuple(Within(km, share) for km, share in (choice.confidence or {}).items()),
            radius_km=choice.radius_km,
            coverage=choice.coverage,
            abstained=abstained,
            choice=fingerprint(model) if model else "",
            gallery=retrieval.gallery_set,
        )


def merged(proposals: Sequence[g3_choice.Proposal], parameters: Parameters) -> tuple[g3_choice.Candidate, ...]:
    """Candidates of the proposals: within 1 km one, and under the profile paper only where equal."""
    within_km = 0.0 if parameters.profile is Profile.PAPER else g3_choice.WITHIN_KM
    return g3_choice.merged(proposals, within_km)


def fingerprint(model: ChoiceModel) -> str:
    """SHA-256, hex, over what the model says."""
    return hashlib.sha256(model.model_dump_json().encode()).hexdigest()


def _sources(candidate: g3_choice.Candidate) -> tuple[Source, ...]:
    return tuple(
        Source(Origin(source.origin.value), source.prompt, source.sample, source.reference_id)
        for source in candidate.sources
    )
