"""HTTP/1.1 on one connection: clients that dawdle are left, and what is no HTTP is told so."""

import asyncio
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ingestion_assets.api.errors import failure

PATIENCE = 20.0  # seconds


class Protocol(H11Protocol):
    """What uvicorn speaks, with an end to clients that send or read drop by drop.

    Attributes:
        patience: seconds for a request's line and headers, and for a client to read what fills
            the buffer; an answer that nobody reads would be among those being served for ever.
    """

    patience = PATIENCE

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head = _Timer(self.loop)
        self._reading = _Timer(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading.start(self.patience, self.transport.abort)

    def resume_writing(self) -> None:
        self._reading.stop()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head.stop()
        self._reading.stop()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP in the form of all errors; the connection ends."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = failure(400, f"{msg} Send HTTP/1.1 with a Host.", {"Connection": "close"})
            head = h11.Response(status_code=400, headers=answer.raw_headers, reason=b"Bad Request")
            events: list[Any] = [head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()]
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()

    def _watch(self) -> None:
        """Give a head that is still to come its time; what is under way has other limits."""
        if self.conn.their_state is h11.IDLE:
            self._head.start(self.patience, self.transport.abort)
        else:
            self._head.stop()


class _Timer:
    """Does something after a while, unless it is stopped before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float, then: Callable[[], None]) -> None:
        """Nothing if it runs already."""
        if self._handle is None:
            self._handle = self._loop.call_later(seconds, then)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
