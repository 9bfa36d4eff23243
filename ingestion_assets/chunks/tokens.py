"""Texts in, token counts and token offsets out, for the model in use."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Protocol

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import BertPreTokenizer, FixedLength
from tokenizers.pre_tokenizers import Sequence as InTurn

from ingestion_assets.local.weights import tokenizer_file

# Names of the models that share BERT's uncased English vocabulary, without owner and tag. Their
# multilingual namesakes (bge-m3, nomic-embed-text-v2-moe, snowflake-arctic-embed2) do not.
_BERT_VOCABULARY = re.compile(
    r"(all-minilm(-l\d+)?(-v[12])?"
    r"|nomic-embed-text(-v1(\.5)?)?"
    r"|mxbai-embed-large(-v1)?"
    r"|snowflake-arctic-embed(-(xs|s|m|m-long|l))?(-v1(\.5)?)?"
    r"|bge-(small|base|large)(-en)?(-v1(\.5)?)?)(-gguf)?"
)
_LONGEST_WORD = 100  # characters; WordPiece answers one [UNK] for anything longer
_TEXTS_AT_ONCE = 512  # bounds the memory of one call: an encoded token takes about 100 bytes
_ESTIMATED_TOKEN = re.compile(r"[A-Z]?[a-z]{1,4}|[A-Z]{1,2}|[^\sA-Za-z]")


class TokenCounter(Protocol):
    """Counts tokens as a model does, special tokens excluded.

    Counts add up where two texts meet at whitespace or at a punctuation mark.
    """

    @property
    def name(self) -> str:
        """Names the tokenizer and its version: whenever counts could change, so does the name."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text, in order."""
        ...

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Start and end offset of each token in `text`, in characters, in order."""
        ...


class WordPiece:
    """The tokenizer of the models with BERT's uncased vocabulary.

    A word of more than 100 characters is counted in pieces of 100. The original gives it one
    [UNK]; llama.cpp, and so Ollama, has no such limit and cuts it into as many tokens as it needs.
    """

    name = "bert-uncased-1"

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Take over a tokenizer; its truncation and padding are switched off."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.pre_tokenizer = InTurn([BertPreTokenizer(), FixedLength(length=_LONGEST_WORD)])
        self._tokenizer = tokenizer

    def count(self, texts: Sequence[str]) -> list[int]:
        encode = self._tokenizer.encode_batch_fast
        return [
            len(encoding)
            for i in range(0, len(texts), _TEXTS_AT_ONCE)
            for encoding in encode(texts[i : i + _TEXTS_AT_ONCE], add_special_tokens=False)
        ]

    def spans(self, text: str) -> list[tuple[int, int]]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).offsets)


class Estimate:
    """A cautious guess for models whose tokenizer is not at hand.

    One token is: up to four lower-case letters of ASCII, with the capital before them; up to two
    capitals; or any other single character that is not blank (digits, marks, letters of every
    other script). Multilingual vocabularies need fewer, so chunks come out smaller than allowed
    rather than larger. Not followed: vocabularies that take a Korean syllable, or the bytes of a
    non-Latin letter, apart into two or three tokens.
    """

    name = "estimate-1"

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(_ESTIMATED_TOKEN.findall(text)) for text in texts]

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [token.span() for token in _ESTIMATED_TOKEN.finditer(text)]


def counter_for(model: str) -> TokenCounter:
    """The tokenizer of an embedding model, by its name in Ollama; an estimate if it is unknown."""
    base = model.lower().rpartition("/")[2].partition(":")[0]
    return _wordpiece() if _BERT_VOCABULARY.fullmatch(base) else Estimate()


@cache
def _wordpiece() -> WordPiece:
    return WordPiece(Tokenizer.from_file(str(tokenizer_file())))
