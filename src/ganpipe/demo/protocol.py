"""HTTP as uvicorn speaks it, with an end to the waiting for a request.

uvicorn has a timer between two requests only, and a byte stops it: connections that stay silent would take all places.
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 15.0  # in which a request's head must have arrived


class Impatient(H11Protocol):
    """Closes a connection on which no request is answered nor its head complete in time, whatever else arrives."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._waits():
            self._stop()
        elif self._timer is None:  # not anew: a byte now and then would hold it for ever
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _waits(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _wait(self) -> None:
        self._timer = self.loop.call_later(SECONDS, self._give_up)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self._waits():
            self.transport.abort()
