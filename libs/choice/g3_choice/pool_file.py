"""Pools of many photos in a file: evaluation writes it, fitting reads it. One photo a line of JSON (JSON lines, UTF-8).

::

    {"photo_id": "ab/cd/x.jpg", "latitude": 48.8, "longitude": 2.3, "alignment": "<fingerprint>", "set": "seen",
     "candidates": [
       {"origin": "lmm", "latitude": 48.9, "longitude": 2.2, "similarity": 0.41, "prompt": 0, "sample": 3},
       {"origin": "retrieved", "latitude": 48.7, "longitude": 2.4, "similarity": 0.38, "reference_id": "…", "rank": 1,
        "evidence": 0.83},
       {"origin": "gallery", "latitude": 48.7, "longitude": 2.4, "similarity": 0.38, "rank": 1}]}

`latitude` and `longitude` of the photo are the truth. Candidates are proposals, not merged: whoever reads them may
leave some out (other K, N or S) and merge the rest. What is not known is left out or null. `set` names a part whose
figures are told apart; `alignment` is the fingerprint of the model whose cosines these are.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from g3_geography import Coordinates
from g3_kit.errors import Missing, Rejected
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from g3_choice.pool import MOST
from g3_choice.proposals import Origin, Proposal


@dataclass(frozen=True, slots=True)
class PooledPhoto:
    """A photo whose place is known, and what was proposed for it."""

    photo_id: str
    truth: Coordinates
    proposals: tuple[Proposal, ...]
    alignment: str = ""
    set_name: str = ""


class _Candidate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    origin: Origin
    latitude: FiniteFloat = Field(ge=-90, le=90)
    longitude: FiniteFloat
    similarity: FiniteFloat | None = None
    prompt: int = Field(0, ge=0)
    sample: int = Field(0, ge=0)
    reference_id: str = ""
    rank: int = Field(0, ge=0)
    evidence: FiniteFloat | None = None

    def proposal(self) -> Proposal:
        return Proposal(
            Coordinates(self.latitude, self.longitude),
            self.origin,
            similarity=self.similarity,
            prompt=self.prompt,
            sample=self.sample,
            reference_id=self.reference_id,
            rank=self.rank,
            evidence=self.evidence,
        )


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    photo_id: str = Field(min_length=1)
    latitude: FiniteFloat = Field(ge=-90, le=90)
    longitude: FiniteFloat
    alignment: str = ""
    set: str = ""
    candidates: list[_Candidate] = Field(max_length=MOST)


def write_pools(path: Path, photos: Iterable[PooledPhoto]) -> int:
    """Writes the file whole or not at all; gives the number of photos."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    count = 0
    try:
        with draft.open("w", encoding="utf-8") as file:
            for photo in photos:
                file.write(to_line(photo) + "\n")
                count += 1
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return count


def read_pools(path: Path) -> Iterator[PooledPhoto]:
    """The photos of a file, one after the other. Raises Missing for no file, Rejected with the number of a bad line."""
    if not path.is_file():
        raise Missing(f"there are no pools in {path.name}", field="pools")
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield of_line(line, f"{path.name}, line {number}")


def to_line(photo: PooledPhoto) -> str:
    """One photo as JSON without a line break."""
    line: dict[str, object] = {
        "photo_id": photo.photo_id,
        "latitude": photo.truth.latitude,
        "longitude": photo.truth.longitude,
    }
    line |= {name: value for name, value in (("alignment", photo.alignment), ("set", photo.set_name)) if value}
    line["candidates"] = [_written(proposal) for proposal in photo.proposals]
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def of_line(line: str | bytes, where: str = "the line") -> PooledPhoto:
    """The photo that `to_line` wrote. Raises Rejected, beginning with `where`, for anything else."""
    try:
        read = _Line.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise Rejected(f"{where}: {field}: {first['msg']}" if field else f"{where}: {first['msg']}") from error
    return PooledPhoto(
        read.photo_id,
        Coordinates(read.latitude, read.longitude),
        tuple(candidate.proposal() for candidate in read.candidates),
        read.alignment,
        read.set,
    )


def _written(proposal: Proposal) -> dict[str, object]:
    written: dict[str, object] = {
        "origin": proposal.origin.value,
        "latitude": proposal.coordinates.latitude,
        "longitude": proposal.coordinates.longitude,
    }
    if proposal.similarity is not None:
        written["similarity"] = proposal.similarity
    if proposal.origin is Origin.LMM:
        written |= {"prompt": proposal.prompt, "sample": proposal.sample}
    if proposal.reference_id:
        written["reference_id"] = proposal.reference_id
    if proposal.rank:
        written["rank"] = proposal.rank
    if proposal.evidence is not None:
        written["evidence"] = proposal.evidence
    return written
