"""How often are cloaked people still found? The common question in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facecure.commands.study import run_study
from facecure.execution import Execution
from facecure.extractors.extractor import Extractor
from facecure.report.model import Report
from facecure.study import PictureSources, Study
from facecure.types import Named, ProtocolName


def evaluate(
    clean: Named,
    cloaked: Mapping[str, Named],
    *,
    extractors: Sequence[Named | Extractor],
    distractors: Sequence[Named] = (),
    detector: Named | None = None,
    protocol: ProtocolName = "corrected",
    store: Named | None = None,
    execution: Execution = Execution(),
) -> Report:
    """Return the protection rates of every cloak against every extractor, with counts, intervals and clean errors.

    `clean` is a folder `<identity>/<picture>` or a manifest (CSV or Parquet with identity, path and optionally key);
    `cloaked` maps a cloak's name to the folder of its pictures. People in `distractors` are enrolled and never
    searched. `extractors` are spec files, names of the zoo or objects with `embed`; `detector` is a YuNet ONNX file or
    a name of the zoo (default: FACECURE_DETECTOR), needed where an extractor aligns. `store` is as for `run_study`,
    which answers every other question too and raises the same errors.
    """
    sources = PictureSources.of(clean, cloaked, distractors=distractors)
    study = Study(pictures=sources, extractors=extractors, detector=detector, protocol=protocol)
    return run_study(study, store=store, execution=execution)
