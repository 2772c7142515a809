"""The demo runs offline, shows counts that add up and writes a contact sheet."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from facecure.cli import app
from facecure.demo import PEOPLE, PICTURES, SPLITS, run_demo
from facecure.protocols.statistics import wilson


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the demo must not use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_counts_are_whole_and_intervals_follow(finished):
    assert len(finished.results) == 3
    for result in finished.results:
        assert result.probes == PEOPLE * int(0.3 * PICTURES) * SPLITS
        assert 0.8 < result.identified / result.probes <= 1
        assert result.interval == wilson(result.identified, result.probes)
    missed = [result.probes - result.identified for result in finished.results]
    assert finished.missed_by_all <= min(missed)
    assert finished.disputed + 3 * finished.missed_by_all <= sum(missed)


def test_pictures_and_sheet_are_there_to_look_at(finished):
    assert len(list(finished.pictures.glob("*/*.jpg"))) == PEOPLE * PICTURES
    with Image.open(finished.sheet) as sheet:
        pixels = np.array(sheet.convert("RGB"))
    for frame in ((128, 128, 128), (40, 160, 60)):
        assert (pixels == frame).all(axis=2).sum() > 1000


def test_the_command_says_who_is_identified_and_what_to_do_next(tmp_path, offline):
    done = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "demo"), "--seed", "4"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "clean error" in done.output
    assert "facecure evaluate --clean photos/" in done.output
    assert "protection rate" not in done.output.lower()
    assert (tmp_path / "demo" / "contact_sheet.png").is_file()
