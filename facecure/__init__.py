"""facecure: how often is a person still found by face recognition after cloaking their photos?

    import facecure as fc
    report = fc.evaluate("clean/", {"fawkes-v1.0": "cloaked/"}, extractors=["sface-opencv"])

Names are imported on first use; `import facecure` loads no runtime. It sets one environment variable, GOMP_SPINCOUNT,
unless that or OMP_WAIT_POLICY is set: see below.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facecure.certificates.certificate import Bounds as Bounds
    from facecure.cloaks.apply.output import CloakOutput as CloakOutput
    from facecure.cloaks.options import CloakOptions as CloakOptions
    from facecure.commands.certify import certify as certify
    from facecure.commands.cloak import cloak as cloak
    from facecure.commands.cloak_faces import cloak_faces as cloak_faces
    from facecure.commands.evaluate import evaluate as evaluate
    from facecure.commands.study import run_study as run_study
    from facecure.commands.train_robust import train_robust as train_robust
    from facecure.countermeasures.plan import TrainingPlan as TrainingPlan
    from facecure.embeddings.pipeline import embed as embed
    from facecure.errors import FacecureError as FacecureError
    from facecure.execution import Execution as Execution
    from facecure.extractors.runtimes.onnx import OnnxExtractor as OnnxExtractor
    from facecure.extractors.spec import read_spec as read_spec
    from facecure.kernels import warp_faces as warp_faces
    from facecure.pictures.detect import Detector as Detector
    from facecure.pictures.manifest import read_samples as read_samples
    from facecure.report.markdown import markdown as markdown
    from facecure.report.model import Report as Report
    from facecure.report.schema import read_report as read_report
    from facecure.report.schema import write_report as write_report
    from facecure.study import PictureSources as PictureSources
    from facecure.study import Study as Study
    from facecure.zoo.cache import ModelCache as ModelCache
    from facecure.zoo.catalogue import zoo_entry as zoo_entry

_HOMES = {
    "Bounds": "facecure.certificates.certificate",
    "CloakOptions": "facecure.cloaks.options",
    "CloakOutput": "facecure.cloaks.apply.output",
    "Detector": "facecure.pictures.detect",
    "Execution": "facecure.execution",
    "FacecureError": "facecure.errors",
    "ModelCache": "facecure.zoo.cache",
    "OnnxExtractor": "facecure.extractors.runtimes.onnx",
    "PictureSources": "facecure.study",
    "Report": "facecure.report.model",
    "Study": "facecure.study",
    "TrainingPlan": "facecure.countermeasures.plan",
    "certify": "facecure.commands.certify",
    "cloak": "facecure.commands.cloak",
    "cloak_faces": "facecure.commands.cloak_faces",
    "embed": "facecure.embeddings.pipeline",
    "evaluate": "facecure.commands.evaluate",
    "markdown": "facecure.report.markdown",
    "read_report": "facecure.report.schema",
    "read_samples": "facecure.pictures.manifest",
    "read_spec": "facecure.extractors.spec",
    "run_study": "facecure.commands.study",
    "train_robust": "facecure.commands.train_robust",
    "warp_faces": "facecure.kernels",
    "write_report": "facecure.report.schema",
    "zoo_entry": "facecure.zoo.catalogue",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'facecure' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__


# OpenMP's threads wait for each other by turning on the spot, for 300,000 rounds before they sleep: where other work
# shares the CPUs, they keep those they wait for from running, and all is ten times slower. A thirtieth of that costs
# little on a machine of one's own. libgomp, ours and torch's, reads this once, when it is loaded: before torch, please.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
