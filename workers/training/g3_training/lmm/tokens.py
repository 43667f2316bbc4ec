"""The demo LMM's tokenizer: bytes, with whole tokens for all that its prompts are full of.

A byte-level BPE, so that any text can be written and read. What stands in every prompt is one token each: the fixed
sentences of `g3_dialogue`, the brackets and bars between references, `48.` and two decimals of a number, names of
states and countries. Names of cities fall into the pieces that BPE finds in the lessons.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from g3_dialogue import image_first, paper
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

PAD, BEGIN, END, IMAGE, ANSWER = "<pad>", "<s>", "</s>", "<image>", "<answer>"
SPECIAL = (PAD, BEGIN, END, IMAGE, ANSWER)

# The pieces of an answer and of a reference, longest first; a name goes with the comma before it.
_PIECES = (
    r'\{"latitude": ',
    r', "longitude": ',
    r"\)\n",
    r"\) \| ",
    r" \(",
    r"-?\d{1,3}\.(?=\d)",
    r"\d\d",
    r"\d",
    r", (?=[-\d(])",
    r"(?:, )?[^\s\d(),|{}:.\"](?:[^\d(),|{}\n]*[^\s\d(),|{}])?",
    r"[\s\S]",
)
SPLIT = "|".join(_PIECES)
SENTENCES = (*dict.fromkeys((*image_first.OPENING.values(), *paper.SENTENCES)),)
"""What `g3_dialogue` says in every prompt, word for word: one token each, and so known to the model by heart."""

CHAT_TEMPLATE = (
    f"{{{{ '{BEGIN}' }}}}"
    "{% for message in messages %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    f"{{% if part['type'] == 'text' %}}{{{{ part['text'] }}}}{{% else %}}{{{{ '{IMAGE}' }}}}{{% endif %}}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'assistant' %}" + f"{{{{ '{END}' }}}}" + "{% endif %}"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{{{{ '{ANSWER}' }}}}{{% endif %}}"
)
"""The parts in the order in which they were sent: servers then keep the photo where the prompt puts it."""

_WHOLE_NAMES = 1500


class Tokens:
    """The tokenizer, with what training asks of it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.ids = tokenizer.get_vocab(with_added_tokens=True)
        number = re.compile(r"-?\d{1,3}\.|\d\d?")
        self.numbers = frozenset(index for token, index in self.ids.items() if number.fullmatch(token))
        """The tokens that coordinates consist of."""

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text; nothing is added."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text, special tokens left out."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def turns(self) -> dict[int, bool]:
        """The tokens of a prompt after which similar references stand (True), or dissimilar ones (False)."""
        similar, dissimilar = paper.SENTENCES[1:3]
        says = {")\n": True, similar: True, ") | ": False, dissimilar: False}
        return {self.encode([text])[0][0]: after for text, after in says.items()}

    def save(self, folder: Path) -> None:
        """`tokenizer.json`, `tokenizer_config.json` and the chat template, as transformers and vLLM read them."""
        fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=self.tokenizer,
            bos_token=BEGIN,
            eos_token=END,
            pad_token=PAD,
            additional_special_tokens=[IMAGE, ANSWER],
            clean_up_tokenization_spaces=False,
            model_max_length=2048,
        )
        fast.chat_template = CHAT_TEMPLATE
        fast.save_pretrained(folder)


def learnt(names: Iterable[tuple[str, str, str]], pieces: int = 800) -> Tokens:
    """A tokenizer for places of these (city, state, country), one entry a photo; `pieces` are learnt for cities."""
    cities, areas = Counter[str](), Counter[str]()
    for city, state, country in names:
        cities[city] += 1
        areas.update((f", {state}", f", {country}"))
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = _pre_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + pieces,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator(cities.elements(), trainer)
    found = json.loads(trained.to_str())["model"]
    vocabulary: dict[str, int] = {}
    wholes = [f"{sign}{degrees}." for degrees in range(181) for sign in ("", "-")]
    wholes += [f"{pair:02}" for pair in range(100)]
    wholes += ['{"latitude": ', ', "longitude": ', ")\n", ") | ", " (", ", "]
    wholes += [name for name, _ in sorted(areas.most_common(_WHOLE_NAMES))]
    for token in (*SPECIAL, *found["vocab"], *map(_bytes, wholes)):
        vocabulary.setdefault(token, len(vocabulary))
    merges = [(left, right) for left, right in found["merges"]]
    # ignore_merges: a piece of text that is a token as a whole is that token, however BPE would have built it
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = _pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(sentence, normalized=False) for sentence in SENTENCES])
    return Tokens(tokenizer)


def opened(folder: Path) -> Tokens:
    """The tokenizer that `Tokens.save` wrote."""
    return Tokens(Tokenizer.from_file(str(folder / "tokenizer.json")))


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _bytes(text: str) -> str:
    """The text in the alphabet of a byte-level model."""
    ((token, _),) = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return token
