"""Forms held by llguidance, which several inference servers use for structured outputs."""

import json
from functools import lru_cache
from typing import Any

import numpy as np
from g3_kit.errors import Rejected
from llguidance import LLMatcher, LLTokenizer
from numpy.typing import NDArray

from g3_world.lmm.forms import Form, Hold, Kind

_MAX_FORM = 64 * 1024
# JSON may hold any white space anywhere: a model could add blanks without end.
_TIGHT: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class LlguidanceForms:
    """`Forms` over a tokenizer in the format of the `tokenizers` library, for a model of `vocabulary` tokens."""

    def __init__(self, tokenizer_json: str, ends: frozenset[int], vocabulary: int) -> None:
        self._tokenizer = LLTokenizer(tokenizer_json, n_vocab=vocabulary, eos_token=sorted(ends))
        self._compiled = lru_cache(maxsize=32)(self._compile)

    def holds(self, form: Form, n: int) -> list[Hold]:
        first = self._compiled(form)
        return [_Matched(first.deep_copy(), self._tokenizer.vocab_size) for _ in range(n)]

    def _compile(self, form: Form) -> LLMatcher:
        if len(form.text) > _MAX_FORM:
            raise Rejected(f"a form may have {_MAX_FORM} characters at most")
        if form.kind is Kind.REGEX:
            grammar = LLMatcher.grammar_from_regex(form.text)
        else:
            grammar = LLMatcher.grammar_from_json_schema(json.loads(form.text), overrides=_TIGHT)
        _, faults = LLMatcher.validate_grammar_with_warnings(grammar, self._tokenizer)
        # A warning says that a part of the form would not be enforced: half a form is none.
        if faults:
            raise Rejected(f"this {form.kind.value} cannot be enforced: {' '.join(faults[0].split())[:300]}")
        return LLMatcher(self._tokenizer, grammar, log_level=0)


class _Matched:
    """`Hold` over one matcher."""

    def __init__(self, matcher: LLMatcher, vocabulary: int) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary

    def allowed(self) -> NDArray[np.bool_]:
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        return np.unpackbits(bits, bitorder="little")[: self._vocabulary].astype(np.bool_)

    def take(self, token: int) -> None:
        self._matcher.consume_token(token)
        self._check()

    @property
    def complete(self) -> bool:
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise Rejected(f"the form cannot be followed further: {self._matcher.get_error()[:300]}")
