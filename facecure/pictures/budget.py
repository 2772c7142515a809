"""Memory of pictures in flight: granted by bytes, however many threads ask for it."""

from __future__ import annotations

from threading import Condition


class Stopped(Exception):
    """Nobody waits for the picture any more."""


class Budget:
    """Bytes that pictures, numbered in the order they are handed over, may hold together.

    The one that is waited for gets what it needs at once, so that nothing can block; hence at most `limit` and the
    largest picture are held.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._held, self._due = limit, 0, 0
        self._stopped = False
        self._changed = Condition()

    def take(self, number: int, size: int) -> None:
        """Return once picture `number` may use `size` bytes more; raises `Stopped` where it is no longer wanted."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or number <= self._due or self._held + size <= self._limit)
            if self._stopped:
                raise Stopped
            self._held += size

    def give(self, size: int) -> None:
        """Return bytes that were taken."""
        with self._changed:
            self._held -= size
            self._changed.notify_all()

    def await_picture(self, number: int) -> None:
        """Say that picture `number` is the next to be handed over."""
        with self._changed:
            self._due = number
            self._changed.notify_all()

    def stop(self) -> None:
        """Turn away whoever waits."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
