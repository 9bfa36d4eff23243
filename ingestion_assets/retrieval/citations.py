"""The model's words in, as they come; the same with none but real citations out."""

import re

_GROUP = re.compile(r"\[\s*\d+(?:\s*,\s*\d+)*\s*\]")
_BEGUN = re.compile(r"\[[\d\s,]*$")
_LONGEST = 40  # characters that a group of numbers may take


class Citations:
    """Keeps the citations of passages that exist, and drops the others from the text.

    Attributes:
        cited: numbers of the passages cited so far, in the order of their first mention.

    Args:
        passages: how many there are; they are numbered from 1.
    """

    def __init__(self, passages: int) -> None:
        self.cited: list[int] = []
        self._passages = passages
        self._held = ""

    def feed(self, piece: str) -> str:
        """What of the text so far can be shown; half a citation is held back."""
        text = self._held + piece
        begun = _BEGUN.search(text)
        at = begun.start() if begun and len(text) - begun.start() <= _LONGEST else len(text)
        self._held = text[at:]
        return _GROUP.sub(self._kept, text[:at])

    def end(self) -> str:
        """What was held back when the text ends."""
        rest, self._held = self._held, ""
        return rest

    def _kept(self, group: re.Match[str]) -> str:
        numbers = [int(number) for number in re.findall(r"\d+", group[0])]
        real = [number for number in numbers if 1 <= number <= self._passages]
        self.cited += [number for number in dict.fromkeys(real) if number not in self.cited]
        return "".join(f"[{number}]" for number in real)
