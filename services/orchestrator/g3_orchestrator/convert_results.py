"""Messages of `jobs.proto` from results and their evidence."""

from g3_geography import Coordinates, Place
from g3_protos.geography.v1 import geography_pb2
from g3_protos.orchestrator.v1 import jobs_pb2
from g3_protos.retrieval.v1 import retrieval_pb2

from g3_orchestrator import evidence, model
from g3_orchestrator.states import Origin


def result(value: model.Result) -> jobs_pb2.Result:
    """The message of a result."""
    texts, tokens = evidence.texts(value), evidence.tokens(value)
    return jobs_pb2.Result(
        coordinates=coordinates(value.coordinates),
        place=place(value.place),
        similarity=value.similarity,
        candidates=[_candidate(each) for each in value.candidates],
        references=[match(each) for each in value.references],
        dropped=[
            jobs_pb2.Dropped(
                prompt=d.prompt, sample=d.sample, reason=d.reason, text=texts.get((d.prompt, d.sample), "")
            )
            for d in value.dropped
        ],
        release=jobs_pb2.Release(
            model=value.release.model,
            collection=value.release.collection,
            gps=value.release.gps,
            choice=value.choice,
            gallery=value.gallery,
            lmm=evidence.lmms(value),
        ),
        places=[_likely(each) for each in value.places],
        confidence=[jobs_pb2.Within(km=each.km, probability=each.probability) for each in value.confidence],
        radius_km=value.radius_km,
        coverage=value.coverage,
        abstained=value.abstained,
        answers=[
            jobs_pb2.LmmAnswer(
                prompt=answer.prompt,
                sample=answer.sample,
                text=answer.text,
                model=answer.model,
                candidate=rank,
                prompt_tokens=answer.prompt_tokens,
                answer_tokens=answer.answer_tokens,
            )
            for answer, rank in evidence.said(value)
        ],
        tokens=jobs_pb2.Tokens(prompt=tokens.prompt, answer=tokens.answer),
    )


def match(value: model.Match) -> retrieval_pb2.Match:
    """The message of a retrieved reference."""
    reference = retrieval_pb2.Reference(
        id=value.reference_id,
        coordinates=coordinates(value.coordinates),
        place=place(value.place),
        author=value.author,
    )
    return retrieval_pb2.Match(reference=reference, similarity=value.similarity)


def coordinates(value: Coordinates) -> geography_pb2.Coordinates:
    """The message of a point."""
    return geography_pb2.Coordinates(latitude=value.latitude, longitude=value.longitude)


def place(value: Place) -> geography_pb2.Place:
    """The message of a place's names."""
    return geography_pb2.Place(
        city=value.city, state=value.state, country=value.country, country_code=value.country_code
    )


def _candidate(value: model.Candidate) -> jobs_pb2.Candidate:
    return jobs_pb2.Candidate(
        coordinates=coordinates(value.coordinates),
        origin=_origin(value.origin),
        similarity=value.similarity,
        rank=value.rank,
        place=place(value.place),
        prompt=value.prompt,
        sample=value.sample,
        reference_id=value.reference_id,
        sources=[
            jobs_pb2.Source(origin=_origin(s.origin), prompt=s.prompt, sample=s.sample, reference_id=s.reference_id)
            for s in value.sources
        ],
        probability=value.probability,
        in_place=value.in_place,
    )


def _likely(value: model.LikelyPlace) -> jobs_pb2.LikelyPlace:
    return jobs_pb2.LikelyPlace(
        coordinates=coordinates(value.coordinates),
        place=place(value.place),
        probability=value.probability,
        radius_km=value.radius_km,
        candidates=value.candidates,
    )


def _origin(value: Origin) -> jobs_pb2.Origin.ValueType:
    return jobs_pb2.Origin.Value(f"ORIGIN_{value.value.upper()}")
