"""The study on the shared assets: real cloaks, real extractors, searchers who know nothing or who train on cloaks.

The protected people are those of whom the assets have pictures cloaked by the original tools. Everybody else of
FaceScrub is public: up to twelve pictures each are cloaked here, against two MobileFaceNets, and one of these is
trained on them, with all three cloaks and with each pair, so that each is once the cloak it has not seen. Everything is
kept under a folder (FACECURE_WORK, default: in the temporary one), so an interrupted run goes on; the first takes hours
on two cores. ours_s and reference_s are the seconds of linear identification by all people together, and of 1-NN.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from facecure.cloaks.options import CloakOptions
from facecure.commands.cloak import cloak
from facecure.commands.study import run_study
from facecure.commands.train_robust import train_robust
from facecure.countermeasures.plan import TrainingPlan
from facecure.execution import Execution
from facecure.extractors.spec import read_spec
from facecure.report.model import Report
from facecure.study import PictureSources, Study
from facecure.zoo.cache import VARIABLE, ModelCache
from facecure.zoo.catalogue import zoo_entry

TARGET = 0.0  # a study, not a race
EXTRACTORS = {  # in the order of their release
    "dlib-resnet": None,  # from the PyPI package face_recognition_models
    "mobilefacenet-xiaoccer": "xiaoccer_mobilefacenet_068.ckpt",
    "mobilefacenet-insightface-y1": "insightface_y1.onnx",
    "mobilefacenet-mobileface-v3": "mobileface_v3.onnx",
    "mobilefacenet-foamliu": "foamliu_mobilefacenet.pt",
}
SURROGATES = ("mobilefacenet-foamliu", "mobilefacenet-xiaoccer")
PARENT = "mobilefacenet-foamliu"
PUBLIC = {"lowkey-4": 12, "fawkes-v1.0:high": 12, "fawkes-v0.3:mid": 6}  # pictures per public person
PLAN = TrainingPlan(epochs=4, steps=100)
REAL = {"fawkes-v0.3": "fawkes_v0.3", "fawkes-v1.0": "fawkes_v1.0_112", "lowkey": "lowkey_attacked_112"}


def run(quick: bool) -> dict[str, object]:
    """Return the tables; quick leaves training out."""
    assets = Path(os.environ.get("FACECURE_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
    if not assets.is_dir():
        sys.exit(f"{assets} is absent; name another folder with FACECURE_ASSETS")
    work = Path(os.environ.get("FACECURE_WORK", Path(tempfile.gettempdir()) / "facecure-adaptive"))
    os.environ[VARIABLE] = str(work / "models")
    fill(ModelCache(), assets)
    oblivious = evaluated(assets, list(EXTRACTORS), work, scenario="oblivious")
    linear = evaluated(assets, list(EXTRACTORS), work, scenario="oblivious", recogniser="linear")
    tables = {"oblivious, nn": cells(oblivious), "oblivious, linear": cells(linear)}
    if not quick:
        robust = trained(assets, work)
        for recogniser in ("nn", "linear"):
            report = evaluated(assets, robust, work, scenario="adaptive", recogniser=recogniser)
            tables[f"adaptive, {recogniser}"] = cells(report)
    seconds = [
        sum(value for stage, value in report.environment.seconds.items() if stage.startswith("identify"))
        for report in (linear, oblivious)
    ]
    return {
        "ours_s": seconds[0],
        "reference_s": seconds[1],
        "target": TARGET,
        "correct": all(0 <= cell["protection_rate"] <= 1 for table in tables.values() for cell in table),
        "reference": "seconds of 1-NN identification of all cells, beside those of the linear recogniser",
        "tables": tables,
        "warnings": [*oblivious.warnings],
    }


def fill(cache: ModelCache, assets: Path) -> None:
    """Return when the assets' weights are in the cache."""
    from zoo import dlib_file

    names = {"yunet": zoo_entry("yunet").files[0].name, **EXTRACTORS}
    for name, file in names.items():
        if not cache.has(zoo_entry(name)):
            cache.add(zoo_entry(name), [assets / "models" / file if file else dlib_file()])


def evaluated(assets: Path, extractors: Sequence[str], work: Path, **options: Any) -> Report:
    """Return the report on the pictures that the original tools cloaked, LFW's people in the gallery too."""
    faces = assets / "facescrub"
    clean = joined([faces / "original", assets / "lfw_multi"], work / "gallery")
    sources = PictureSources.of(
        clean,
        {name: faces / folder for name, folder in REAL.items()},
        {"lowkey": faces / "lowkey_small_clean_112"},
    )
    study = Study(pictures=sources, extractors=extractors, detector="yunet", **options)
    return run_study(study, store=work / "run" / "embeddings", execution=Execution(progress=told))


def trained(assets: Path, work: Path) -> list[str]:
    """Return the specs of extractors trained on all cloaks, and on each pair."""
    protected = {person.name for folder in REAL.values() for person in (assets / "facescrub" / folder).iterdir()}
    people = [p for p in sorted((assets / "facescrub" / "original").iterdir()) if p.name not in protected]
    made = {}
    for name, count in PUBLIC.items():
        public = joined(people, work / f"public-{count}", count)
        heads = assets / "models" / "lpips_lin_squeeze_v0.1.pth"
        made[name] = work / name.replace(":", "-")
        cloak(
            public, name, surrogates=SURROGATES, out=made[name], detector="yunet", targets=assets / "lfw_multi",
            options=CloakOptions(lpips=f"squeeze={assets / 'models' / 'squeezenet1_1_imagenet.pth'},{heads}"),
            execution=Execution(progress=told),
        )  # fmt: skip
    # clean pictures of people without cloaks keep the extractor where it was; not those of the gallery's controls
    clean = joined([*people, *sorted((assets / "glint360k_112").iterdir())], work / "public", 12)
    evaluated = assets / "facescrub" / REAL["lowkey"]
    specs = [
        train_robust(
            PARENT,
            clean,
            {name: made[name] / "manifest.csv" for name in names},
            unprotected={name: made[name] / "clean" for name in names},
            evaluated=evaluated,
            out=work / f"robust-{'+'.join(names).replace(':', '-')}",
            plan=PLAN,
            detector="yunet",
            execution=Execution(precision="bf16", progress=told),
        )
        for names in (tuple(made), *combinations(made, 2))
    ]
    assert all(read_spec(spec).robust for spec in specs)
    return [str(spec) for spec in specs]


def joined(folders: Sequence[Path], where: Path, count: int | None = None) -> Path:
    """Return a folder of links to people, or to people of several folders, with at most `count` pictures each."""
    people = [p for f in folders for p in ([f] if any(q.is_file() for q in f.iterdir()) else sorted(f.iterdir()))]
    for person in people:
        (where / person.name).mkdir(parents=True, exist_ok=True)
        for picture in sorted(person.iterdir())[:count]:
            link = where / person.name / picture.name
            if not link.exists():
                link.symlink_to(picture)
    return where


def cells(report: Report) -> list[dict[str, Any]]:
    """Return what a table shows of each cell."""
    keys = (
        "cloak", "extractor", "year", "white_box", "protection_rate", "interval", "probes", "clean_error",
        "control_error",
    )  # fmt: skip
    return [{key: getattr(cell, key) for key in keys} for cell in report.cells]


def told(stage: str, done: int, total: int) -> None:
    """Return after telling standard error of every tenth part."""
    if done * 10 // total != (done - 1) * 10 // total:
        print(f"{stage}: {done} of {total}", file=sys.stderr, flush=True)
