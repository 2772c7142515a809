"""A study in one call, for tests: pictures, and whatever else is asked."""

from __future__ import annotations

from facecure.commands.study import run_study
from facecure.execution import Execution
from facecure.report.model import Report
from facecure.study import PictureSources, Study


def ask(clean, cloaked, *, unprotected=None, distractors=(), store=None, execution=Execution(), **asked) -> Report:
    sources = PictureSources.of(clean, cloaked, unprotected, distractors)
    return run_study(Study(pictures=sources, **asked), store=store, execution=execution)
