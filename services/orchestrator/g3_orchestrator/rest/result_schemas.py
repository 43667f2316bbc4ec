"""The documents of results and their evidence."""

from pydantic import Field

from g3_orchestrator import states
from g3_orchestrator.rest.words import Answered, Coordinates


class Place(Answered):
    """A named place. An unknown part is the empty string."""

    city: str = Field(description="City, town or village.")
    state: str = Field(description="First-level division.")
    country: str = Field(description="Country name in English.")
    country_code: str = Field(description="ISO 3166-1 alpha-2, upper case.")


class Source(Answered):
    """One voice for a candidate."""

    origin: states.Origin = Field(description="Where it came from.")
    prompt: int = Field(description="LMM: index of the prompt.")
    sample: int = Field(description="LMM: index of the sample.")
    reference_id: str = Field(description="Retrieved: id of the reference.")


class Candidate(Answered):
    """A place the photo may be. Origin, prompt, sample and reference_id are those of its first source."""

    coordinates: Coordinates = Field(description="The point.")
    origin: states.Origin = Field(description="Where it came from.")
    similarity: float | None = Field(description="Image-GPS cosine, in [-1, 1]; null where it was not scored.")
    rank: int = Field(description="1 is best.")
    place: Place = Field(description="Names of the place, by an offline gazetteer.")
    prompt: int = Field(description="LMM: index of the prompt.")
    sample: int = Field(description="LMM: index of the sample.")
    reference_id: str = Field(description="Retrieved: id of the reference.")
    sources: list[Source] = Field(
        description="All proposals that were taken for this place: within 1 km, or equal under the profile paper."
    )
    probability: float | None = Field(description="Its share of the consensus model; all candidates sum to 1.")
    in_place: int = Field(description="Which of the places it belongs to, from 1; 0: one that is not listed.")


class LikelyPlace(Answered):
    """A distinct place: candidates that lie together."""

    coordinates: Coordinates = Field(description="The medoid of its candidates.")
    place: Place = Field(description="Names of the place, by an offline gazetteer.")
    probability: float | None = Field(description="The sum of its candidates' probabilities.")
    radius_km: float = Field(description="The greatest distance of one of its candidates from the coordinates.")
    candidates: int = Field(description="How many candidates.")


class Within(Answered):
    """How sure the answer is."""

    km: int = Field(description="Distance in kilometres: 1, 25, 200, 750, 2500.")
    probability: float = Field(description="Calibrated probability that the answer lies nearer to the truth.")


class LmmAnswer(Answered):
    """What the LMM said."""

    prompt: int = Field(description="Index of the prompt.")
    sample: int = Field(description="Index of the sample.")
    text: str = Field(description="The raw text, its first 2,000 characters.")
    model: str = Field(description="Name of the model as the endpoint states it.")
    candidate: int = Field(description="Rank of the candidate that it stands behind; 0: it was dropped.")
    prompt_tokens: int = Field(description="Tokens of its prompt, which its other samples share; 0: not known.")
    answer_tokens: int = Field(description="Tokens of this answer; 0: not known.")


class Tokens(Answered):
    """What the LMM was given and gave, as its endpoint counts."""

    prompt: int = Field(description="Of the prompts, each counted once however many samples it gave.")
    answer: int = Field(description="Of all answers.")


class Reference(Answered):
    """A photo of the collection."""

    id: str = Field(description="Its stable id.")
    coordinates: Coordinates = Field(description="Where it was taken.")
    place: Place = Field(description="The names of that place.")
    author: str = Field(description="Who took it; empty when unknown.")


class Match(Answered):
    """A retrieved reference."""

    reference: Reference = Field(description="The photo.")
    similarity: float = Field(description="Mean cosine over the compared vectors, in [-1, 1].")


class Dropped(Answered):
    """An answer that did not become a candidate."""

    prompt: int = Field(description="Index of the prompt.")
    sample: int = Field(description="Index of the sample.")
    reason: states.DropReason = Field(description="Why.")
    text: str = Field(description="The raw text, its first 2,000 characters.")


class Release(Answered):
    """What a job is pinned to, and what else judged."""

    model: str = Field(description="Model fingerprint.")
    gps: str = Field(description="Fingerprint of the model's GPS part.")
    collection: str = Field(description="Collection version.")
    choice: str = Field(description="Fingerprint of the choice model; empty when none took part.")
    gallery: str = Field(description="Fingerprint of the gallery's set of coordinates; empty when none took part.")
    lmm: list[str] = Field(description="Names of the LMMs that answered.")


class Result(Answered):
    """Where the photo was taken, and on what evidence."""

    coordinates: Coordinates = Field(description="The answer.")
    place: Place = Field(description="Its names.")
    similarity: float | None = Field(
        description="Image-GPS cosine of the answer, not a probability; null where it was not scored."
    )
    places: list[LikelyPlace] = Field(description="Distinct places, best first, at most top_k.")
    confidence: list[Within] = Field(
        description="How sure the answer is; empty when no choice model is calibrated for this alignment model and "
        "ranking."
    )
    radius_km: float | None = Field(description="Within it lies the truth for a share of all photos.")
    coverage: float | None = Field(description="That share.")
    abstained: bool = Field(description="The answer is less sure than abstain_below asks: it is given all the same.")
    candidates: list[Candidate] = Field(description="Best first.")
    references: list[Match] = Field(description="The retrieved references, most similar first.")
    answers: list[LmmAnswer] = Field(description="Everything that the LMM said.")
    dropped: list[Dropped] = Field(description="What was dropped and why.")
    tokens: Tokens = Field(description="Tokens that the LMM took.")
    release: Release = Field(description="What answered.")
