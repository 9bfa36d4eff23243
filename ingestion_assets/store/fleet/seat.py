"""What others need in, what this process may send to one server out: one beat after another."""

from collections import deque
from math import ceil

from ingestion_assets.share import Share
from ingestion_assets.store.fleet import slots
from ingestion_assets.store.fleet.slots import BACKFILL, LIVE, Held
from ingestion_assets.store.pool import AsyncConnection

KEPT = 4  # beats for which slots that are not used are kept
RESERVED, RESERVED_NOW = 8, 4  # one in so many slots is not for backfills: always, and if needed


class Seat:
    """One process's place at one server.

    Attributes:
        held: slots as of the latest beat, and by how many processes any are wanted.
        hungry: whether less was granted than is wanted.
    """

    def __init__(self, url: str, share: Share, most: int, *, live: bool) -> None:
        self.share = share
        self.held = Held()
        self.hungry = False
        self._url, self._most, self._live = url, most, live
        self._wanted: deque[int] = deque(maxlen=KEPT)

    def withdraw(self) -> None:
        """Grant nothing any more; the slots are lost, or not had yet."""
        self.held, self.hungry = Held(), False
        self.share.grant(0)

    async def beat(self, connection: AsyncConnection) -> None:
        """Give back what is not used, take what is wanted, and grant what there is."""
        tally = self.share.take_tally()
        guided = not self._live and self.held.backfills > 1
        target = float(self._most)
        if guided:
            target = await slots.report(connection, self._url, tally, self._most)
        self._wanted.append(tally.wanted)
        wanted, top = max(self._wanted), self._top(target)
        may = min(wanted, self._fair(top))
        keep = max(may, self.share.in_flight)
        self.share.grant(min(self.share.granted, keep), guided=guided)
        candidates = self._candidates(top)
        presence = LIVE if self._live else BACKFILL
        self.held = await slots.hold(
            connection, self._url, self.held.slots, candidates, keep, presence
        )
        usable = len(set(self.held.slots) & set(candidates))
        self.share.grant(min(usable, may), guided=guided)
        self.hungry = wanted > self.share.granted

    def _top(self, target: float) -> int:
        """The slots that this kind of process may have, all of them together."""
        if self._live:
            return self._most
        reserved = ceil(self._most / RESERVED) if self._most > 1 else 0
        if self.held.live:
            reserved = max(1, reserved, self._most // RESERVED_NOW)
        # At least one for each: that they take turns matters more than a short queue.
        enough = max(round(target), self.held.backfills)
        return min(enough, self._most - reserved)

    def _fair(self, top: int) -> int:
        """This process's part of them."""
        users = self.held.live if self._live else self.held.backfills
        return ceil(top / max(1, users))

    def _candidates(self, top: int) -> list[int]:
        """The slots to try, the best one first: those who wait begin with the reserved ones."""
        numbers = list(range(1, top + 1))
        return numbers[::-1] if self._live else numbers
