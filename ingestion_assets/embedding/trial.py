"""Failures of a list of texts in, whether it is the texts that are guilty out."""

from collections.abc import Sequence
from dataclasses import dataclass

from ingestion_assets.changes import Text
from ingestion_assets.embedding.endpoint import Endpoint
from ingestion_assets.errors import (
    ContentError,
    OllamaError,
    RequestTooLargeError,
    TextTooLongError,
)

CAUTION = 4  # times the failures that make a text guilty, on a server that fails good ones too
InVain = list[tuple[Endpoint, OllamaError]]  # failures that are not known to be a server's


@dataclass(frozen=True, slots=True)
class Piece:
    """Texts to send together.

    Attributes:
        deaths: how often they had dead vectors, 2 at most.
        suspect: a list with these in it failed again while a harmless text passed.
    """

    texts: Sequence[Text]
    deaths: int = 0
    suspect: bool = False

    def halves(self, *, suspect: bool = False) -> "list[Piece]":
        """Both halves, the first one last."""
        half, suspect = len(self.texts) // 2, suspect or self.suspect
        return [
            Piece(self.texts[half:], self.deaths, suspect),
            Piece(self.texts[:half], self.deaths, suspect),
        ]

    def patience(self, retries: int) -> int:
        """Failures beside harmless texts that pass before it is taken for guilty, but one."""
        if len(self.texts) == 1:
            return retries  # it would be put in quarantine for good
        return 0 if self.suspect else min(1, retries)


class Trial:
    """What happened to one piece so far.

    Attributes:
        attempts: that failed.
        clumsy: of these, the ones that a smaller batch may avoid.
        in_vain: failures that are not known to be the server's.
    """

    def __init__(self, piece: Piece, retries: int) -> None:
        self.texts = len(piece.texts)
        self.suspect = piece.suspect
        self.attempts = self.clumsy = 0
        self.in_vain: InVain = []
        self._patience = piece.patience(retries)
        self._condemned = False

    @property
    def suspicious(self) -> bool:
        """Whether it is time to ask how a harmless text fares."""
        return len(self.in_vain) > min(self._patience, 1)

    def guilty(self, *, unsteady: bool) -> bool:
        """Whether a harmless text passing decides the matter, on a server that is unsteady or not.

        A list is only halved for it, but a text is put in quarantine.
        """
        times = CAUTION if unsteady and self.texts == 1 else 1
        return len(self.in_vain) > self._patience * times

    def excuse(self) -> None:
        """Forget the failures: they were the server's."""
        self.in_vain.clear()

    def condemn(self, error: ContentError) -> None:
        """Raise the error the second time: a text that fails again is to blame.

        One that is too long is so at once.
        """
        if self._condemned or isinstance(error, TextTooLongError | RequestTooLargeError):
            raise error
        self._condemned = True
