"""One search of a Milvus collection, by its kind of index; `farthest` over all of it, or over its sample."""

from g3_retrieval import milvus_kinds
from g3_retrieval.answers import answer, answers
from g3_retrieval.kinds import IndexKind, Plan, Sample
from g3_retrieval.milvus_catalogue import physical
from g3_retrieval.milvus_expressions import expression
from g3_retrieval.milvus_plans import MilvusPlans
from g3_retrieval.milvus_rows import MilvusRows
from g3_retrieval.milvus_sample import MilvusSamples, passing, sampled
from g3_retrieval.milvus_schema import FIELDS, match
from g3_retrieval.ranking import Ranked
from g3_retrieval.references import Dissimilar, Found, FoundMany, ManySearch, Match, Search, Vectors, Version


class MilvusSearch:
    """Thread-safe."""

    def __init__(self, rows: MilvusRows, plans: MilvusPlans, samples: MilvusSamples) -> None:
        """Search `rows`, as `plans` say."""
        self._rows = rows
        self._plans = plans
        self._samples = samples

    def answer(self, search: Search, version: Version) -> Found:
        """See `Index.search`."""
        version.check(search.model, search.vectors.dimension)
        plan, wanted = self._plans.of(version), expression(search.filter)
        sample: Sample | None = None
        if search.dissimilar_kind is Dissimilar.FARTHEST and search.dissimilar and plan.sampled_below:
            sample = self._samples.of(version, plan)

        def opposite(query: Vectors) -> Ranked:
            if sample is None:
                return self._ranked(physical(version), query, wanted, plan)
            both = " and ".join(part for part in (wanted, passing(sample.below)) if part)
            return self._ranked(sampled(version), query, both, Plan(IndexKind.FLAT))

        similar, dissimilar = answer(
            search, lambda query: self._ranked(physical(version), query, wanted, plan), opposite
        )
        size = sample.size if sample else 0
        return Found(similar, dissimilar, version.name, version.model, size)

    def answer_many(self, search: ManySearch, version: Version) -> FoundMany:
        """See `Index.search_many`."""
        for vectors in search.vectors:
            version.check(search.model, vectors.dimension)
        plan, wanted, name = self._plans.of(version), expression(search.filter), physical(version)
        similar = answers(
            search,
            lambda queries, limit: self._best(name, queries, wanted, plan, limit),
            lambda query: self._ranked(name, query, wanted, plan),
        )
        return FoundMany(similar, version.name, version.model)

    def _ranked(self, name: str, query: Vectors, wanted: str, plan: Plan) -> Ranked:
        return lambda limit: self._best(name, query[None, :], wanted, plan, limit)[0]

    def _best(self, name: str, queries: Vectors, wanted: str, plan: Plan, limit: int) -> list[list[Match]]:
        """The best `limit` of each query, float32 [q, 3d]; fewer only when there are no more."""
        limit = milvus_kinds.most(plan, limit)
        asked = list(queries)
        hits = self._rows.search_many(name, asked, wanted, limit, FIELDS, milvus_kinds.told(plan, limit))
        short = [number for number, found in enumerate(hits) if len(found) < limit]
        if short and plan.kind.approximate:
            # That there are no more, and not that the lists it read, or the filter, held so few.
            widest = milvus_kinds.told(plan, limit, widest=True)
            again = self._rows.search_many(name, [asked[n] for n in short], wanted, limit, FIELDS, widest)
            for number, found in zip(short, again, strict=True):
                hits[number] = found
        return [[match(hit) for hit in found] for found in hits]
