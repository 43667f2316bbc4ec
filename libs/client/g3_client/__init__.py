"""Client of G3: `G3`, `AsyncG3`, the documents they return and the errors they raise.

from g3_client import G3

with G3() as g3:
    job = g3.locate("photo.jpg")
    print(job.result.place, job.result.coordinates)
"""

from g3_client.async_client import AsyncG3
from g3_client.client import G3
from g3_client.config import Connection
from g3_client.errors import (
    Conflict,
    ConnectionFailed,
    Exhausted,
    FieldError,
    Forbidden,
    G3ClientError,
    Late,
    Misconfigured,
    Mismatch,
    Missing,
    NotYet,
    Problem,
    Rejected,
    TimedOut,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unintelligible,
    UnusablePhoto,
)
from g3_client.flows import Patience
from g3_client.models import (
    BoundingBox,
    Candidate,
    Circle,
    Coordinates,
    Dropped,
    Failure,
    Hints,
    Job,
    JobEvent,
    JobPage,
    JobState,
    Match,
    Origin,
    Parameters,
    Place,
    Readiness,
    Reference,
    Release,
    Result,
    StageTiming,
)

__all__ = [
    "G3",
    "AsyncG3",
    "BoundingBox",
    "Candidate",
    "Circle",
    "Conflict",
    "Connection",
    "ConnectionFailed",
    "Coordinates",
    "Dropped",
    "Exhausted",
    "Failure",
    "FieldError",
    "Forbidden",
    "G3ClientError",
    "Hints",
    "Job",
    "JobEvent",
    "JobPage",
    "JobState",
    "Late",
    "Match",
    "Misconfigured",
    "Mismatch",
    "Missing",
    "NotYet",
    "Origin",
    "Parameters",
    "Patience",
    "Place",
    "Problem",
    "Readiness",
    "Reference",
    "Rejected",
    "Release",
    "Result",
    "StageTiming",
    "TimedOut",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "Unintelligible",
    "UnusablePhoto",
]
