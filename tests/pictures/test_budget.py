"""Bytes are granted up to the limit, to the picture that is waited for always."""

from __future__ import annotations

import threading

import pytest

from facecure.pictures.budget import Budget, Stopped


def asking(budget: Budget, number: int, size: int) -> tuple[threading.Thread, list[str]]:
    """Return a thread that asks, and what it got as soon as it is answered."""
    answer: list[str] = []

    def ask() -> None:
        try:
            budget.take(number, size)
            answer.append("granted")
        except Stopped:
            answer.append("stopped")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread, answer


def test_what_fits_is_granted_at_once():
    budget = Budget(100)
    for number, size in ((5, 60), (3, 40)):
        thread, answer = asking(budget, number, size)
        thread.join(60)
        assert answer == ["granted"]


@pytest.mark.parametrize("release", ["given back", "waited for", "stopped"])
def test_what_does_not_fit_waits(release):
    budget = Budget(100)
    budget.take(1, 60)
    thread, answer = asking(budget, 2, 41)
    thread.join(0.05)
    assert answer == []
    if release == "given back":
        budget.give(1)
    elif release == "waited for":
        budget.await_picture(2)
    else:
        budget.stop()
    thread.join(60)
    assert answer == ["stopped" if release == "stopped" else "granted"]


def test_the_picture_that_is_waited_for_may_exceed_the_limit():
    budget = Budget(100)
    for number in (0, 0, 7):
        budget.await_picture(number)
        thread, answer = asking(budget, number, 1000)
        thread.join(60)
        assert answer == ["granted"]
