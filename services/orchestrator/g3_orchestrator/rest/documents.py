"""JSON documents from domain values, and the other way round."""

from typing import Any

from g3_geography import BoundingBox, Coordinates, Place
from pydantic import ValidationError

from g3_orchestrator import jobs as service
from g3_orchestrator import model, problems
from g3_orchestrator.fields import inside
from g3_orchestrator.parameters import Asked, Circle, Hints, Parameters
from g3_orchestrator.rest import schemas


def asked(parameters: Any, label: Any) -> tuple[Asked, str]:
    """What the values beside a photo ask for. Raises Rejected, naming the fields at fault."""
    try:
        given = schemas.Submission.model_validate({"parameters": parameters, "label": label})
    except ValidationError as error:
        raise problems.faults(error) from None
    stated = given.parameters or schemas.Parameters()
    values = {name: getattr(stated, name) for name in schemas.Parameters.model_fields}
    values["hints"] = _hints(stated.hints) if stated.hints else None
    for name in ("excluded_references", "excluded_authors"):
        values[name] = values[name] or ()
    return Asked(**values), given.label or ""


def _hints(given: schemas.Hints) -> Hints:
    box, disc = given.bounding_box, given.circle
    bounding_box, circle = None, None
    if box is not None:
        with inside("parameters.hints.bounding_box"):
            bounding_box = BoundingBox(box.south, box.west, box.north, box.east)
    if disc is not None:
        with inside("parameters.hints.circle.center"):
            center = Coordinates(disc.center.latitude, disc.center.longitude)
        with inside("parameters"):
            circle = Circle(center, disc.radius_km)
    return Hints(tuple(given.country_codes or ()), bounding_box, circle)


def job(value: model.Job) -> schemas.Job:
    """The document of a job."""
    return schemas.Job(
        job_id=str(value.job_id),
        state=value.state,
        created_at=value.created_at,
        updated_at=value.updated_at,
        label=value.label,
        parameters=_parameters(value.parameters),
        result=_result(value.result) if value.result else None,
        failure=schemas.Failure(code=value.failure.code, message=value.failure.message) if value.failure else None,
        timings=[
            schemas.StageTiming(stage=t.stage, waited_s=t.waited_s, worked_s=t.worked_s, attempts=t.attempts)
            for t in value.timings
        ],
        degraded=list(value.degraded),
    )


def page(value: service.Page) -> schemas.JobPage:
    """The document of a page."""
    return schemas.JobPage(jobs=[job(each) for each in value.jobs], next_cursor=value.next_cursor)


def event(value: service.JobEvent) -> schemas.JobEvent:
    """The document of an event."""
    return schemas.JobEvent(event_id=value.event_id, job=job(value.job))


def _parameters(value: Parameters) -> schemas.Parameters:
    """In the shape in which callers send them."""
    written = value.to_json()
    if circle := written["hints"]["circle"]:
        center = {"latitude": circle["latitude"], "longitude": circle["longitude"]}
        written["hints"]["circle"] = {"center": center, "radius_km": circle["radius_km"]}
    return schemas.Parameters.model_validate(written)


def _result(value: model.Result) -> schemas.Result:
    return schemas.Result(
        coordinates=_coordinates(value.coordinates),
        place=_place(value.place),
        similarity=value.similarity,
        candidates=[_candidate(each) for each in value.candidates],
        references=[_match(each) for each in value.references],
        dropped=[schemas.Dropped(prompt=d.prompt, sample=d.sample, reason=d.reason) for d in value.dropped],
        release=schemas.Release(model=value.release.model, collection=value.release.collection),
    )


def _candidate(value: model.Candidate) -> schemas.Candidate:
    return schemas.Candidate(
        coordinates=_coordinates(value.coordinates),
        origin=value.origin,
        similarity=value.similarity,
        rank=value.rank,
        place=_place(value.place),
        prompt=value.prompt,
        sample=value.sample,
        reference_id=value.reference_id,
    )


def _match(value: model.Match) -> schemas.Match:
    reference = schemas.Reference(
        id=value.reference_id,
        coordinates=_coordinates(value.coordinates),
        place=_place(value.place),
        author=value.author,
    )
    return schemas.Match(reference=reference, similarity=value.similarity)


def _coordinates(value: Coordinates) -> schemas.Coordinates:
    return schemas.Coordinates(latitude=value.latitude, longitude=value.longitude)


def _place(value: Place) -> schemas.Place:
    return schemas.Place(city=value.city, state=value.state, country=value.country, country_code=value.country_code)
