"""How far a build has come, told while it goes on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations.generation import Generation
from ingestion_assets.store.index.state import index_state


@contextmanager
def followed(
    url: str, generation: Generation, tell: Callable[[float], None], *, seconds: float = 1.0
) -> Iterator[None]:
    """Tell which share of the table is read, every so many seconds, until the block ends."""
    done = threading.Event()

    def follow() -> None:
        with connect(url) as connection:
            while not done.wait(seconds):
                share = index_state(connection, generation).progress
                if share is not None:
                    tell(share)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        done.set()
        follower.join()
