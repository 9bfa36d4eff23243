"""A text that a model chokes on in, the same without invisible oddities out."""

import unicodedata


def cleaned(text: str) -> str:
    """The text with every run of white space as one space, and without control characters.

    Nothing that anybody could read is lost: the vector is still that of the whole text.
    """
    spaced = " ".join(text.split())
    return "".join(c for c in spaced if unicodedata.category(c) != "Cc")
