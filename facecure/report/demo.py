"""What a finished demo tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facecure.report.model import Rate, Report


@dataclass(frozen=True, slots=True)
class CleanResult:
    """How often one extractor identifies people by clean pictures: hits are the probes it misses."""

    extractor: str
    error: Rate


@dataclass(frozen=True, slots=True)
class Demo:
    """A finished demo: clean results per extractor, and the protection rates of the cloaks made in it.

    `disputed` counts probes identified by some extractors but not all, `missed_by_all` those by none; `surrogate` names
    the extractor the cloaks were made against, for which their rates are no evidence.
    """

    results: tuple[CleanResult, ...]
    disputed: int
    missed_by_all: int
    surrogate: str
    report: Report
    pictures: Path
    sheet: Path
    cloaks: Path
