"""JSON documents from domain values, and the other way round.

What goes out is written without passing through the models of `schemas`, which would cost more than reading the job
from the database; a test holds the two together.
"""

from typing import Any

from g3_geography import BoundingBox, Coordinates
from pydantic import ValidationError
from pydantic_core import to_json

from g3_orchestrator import jobs as service
from g3_orchestrator import model, problems
from g3_orchestrator.fields import inside
from g3_orchestrator.parameters import AbstainBelow, Asked, Circle, Hints, Parameters
from g3_orchestrator.rest import results, schemas

Document = dict[str, Any]


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
    if below := stated.abstain_below:
        with inside("parameters"):
            values["abstain_below"] = AbstainBelow(below.probability, below.within_km)
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


def job(value: model.Job) -> Document:
    """The document `schemas.Job` of a job."""
    return {
        "job_id": str(value.job_id),
        "state": value.state,
        "created_at": value.created_at,
        "updated_at": value.updated_at,
        "label": value.label,
        "parameters": _parameters(value.parameters),
        "result": results.result(value.result) if value.result else None,
        "failure": {"code": value.failure.code, "message": value.failure.message} if value.failure else None,
        "timings": [
            {"stage": t.stage, "waited_s": t.waited_s, "worked_s": t.worked_s, "attempts": t.attempts}
            for t in value.timings
        ],
        "degraded": value.degraded,
    }


def page(value: service.Page) -> Document:
    """The document `schemas.JobPage` of a page."""
    return {"jobs": [job(each) for each in value.jobs], "next_cursor": value.next_cursor}


def event(value: service.JobEvent) -> Document:
    """The document `schemas.JobEvent` of an event."""
    return {"event_id": value.event_id, "job": job(value.job)}


def written(document: Document) -> bytes:
    """The document as JSON."""
    return to_json(document)


def _parameters(value: Parameters) -> Document:
    """In the shape in which callers send them."""
    document = value.to_json()
    if circle := document["hints"]["circle"]:
        center = {"latitude": circle["latitude"], "longitude": circle["longitude"]}
        document["hints"]["circle"] = {"center": center, "radius_km": circle["radius_km"]}
    return document
