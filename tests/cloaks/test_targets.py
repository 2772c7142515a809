"""A target is one of the twenty farthest people, and their pictures are shared out as the tool does."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from facecure.cloaks.targets import assign_targets, choose_target
from facecure.errors import InputError


def test_a_target_is_among_the_twenty_farthest_by_the_nearest_picture():
    rng = np.random.default_rng(0)
    own, candidates = (rng.normal(size=(n, 8)).astype(np.float32) for n in (5, 60))
    nearest = np.array([min(np.linalg.norm(c - o) for o in own) for c in candidates])
    farthest = set(np.argsort(-nearest)[:20].tolist())
    chosen = {choose_target(own, candidates, seed) for seed in range(400)}
    assert chosen == farthest


def test_a_target_depends_on_the_seed_alone():
    own, candidates = np.zeros((1, 3), np.float32), np.arange(90, dtype=np.float32).reshape(30, 3)
    assert choose_target(own, candidates, 7) == choose_target(own, candidates, 7)
    assert len({choose_target(own, candidates, seed) for seed in range(50)}) > 1


@pytest.mark.parametrize("people", [1, 3])
def test_fewer_than_twenty_candidates_will_do(people):
    own, candidates = np.zeros((2, 3), np.float32), np.ones((people, 3), np.float32)
    assert {choose_target(own, candidates, seed) for seed in range(50)} == set(range(people))


def test_nobody_to_aim_at_is_an_error():
    with pytest.raises(InputError, match="nobody"):
        choose_target(np.zeros((1, 3), np.float32), np.empty((0, 3), np.float32), 0)


@pytest.mark.parametrize(("count", "available"), [(0, 3), (1, 1), (7, 10), (10, 10), (11, 10), (45, 10), (9, 1)])
def test_pictures_are_drawn_without_replacement_from_a_doubled_list(count, available):
    which = assign_targets(count, available, 3)
    assert len(which) == count
    doubled = available
    while doubled < count:
        doubled *= 2
    assert all(0 <= number < available and times <= doubled // available for number, times in Counter(which).items())
