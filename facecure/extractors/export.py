"""Networks as ONNX files: batch norms folded, any batch, and everything about them in the file's own metadata."""

from __future__ import annotations

import json
import logging
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from facecure.errors import InputError, MissingDependency
from facecure.execution import Precision
from facecure.extractors.graph import Calibration, Graph, graph_of
from facecure.extractors.quantize import quantized
from facecure.extractors.spec import ExtractorSpec
from facecure.runs.atomic import write_whole
from facecure.types import Faces

OPSET = 20
_BF16_OPSET = 22  # from which convolutions take bfloat16
LARGEST_BATCH = 4096
_PREFIX = "facecure."  # of our keys in the metadata


def export_onnx(
    spec: ExtractorSpec, file: Path, *, inside: bool = False, precision: Precision = "fp32", faces: Faces | None = None
) -> None:
    """Write an extractor's `exported` graph to a file, whole or not at all."""
    write_whole(file, exported(spec, inside=inside, precision=precision, faces=faces))


def exported(
    spec: ExtractorSpec, *, inside: bool = False, precision: Precision = "fp32", faces: Faces | None = None
) -> bytes:
    """Return the extractor as an ONNX graph whose batch is open, weights inline.

    Its opset is 20, in bf16 22. Input `faces`, output `embedding`, raw. With `inside` the preprocessing is part of the
    graph: it takes `pixels`, uint8 (N, H, W, 3) RGB; else float32 (N, 3, H, W), normalised. Weights that are ONNX
    already keep their nodes and opset. In "int8" layers are quantised, calibrated on `faces`; "bf16" and "fp16" are of
    all nodes between float32 input and output, as TensorRT wants it. Raises `InputError` for weights that do not load
    and for int8 without faces, `MissingDependency` without onnx, torch, onnxscript or, for int8, onnxruntime.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingDependency("onnx", "cpu") from error
    if precision == "int8" and faces is None:
        raise InputError(
            f"extractor {spec.name}: int8 is calibrated on faces; hand some over as faces", parameter="faces"
        )
    if spec.architecture is not None:
        model, sha256 = _from_torch(spec, "fp32" if precision == "int8" else precision)
    else:
        if precision not in ("fp32", "int8"):
            raise InputError(f"extractor {spec.name}: its weights are an ONNX graph, whose precision is its own")
        graph = graph_of(spec, None)
        model, sha256 = onnx.load_from_string(graph.data), graph.weights_sha256
    calibration = None
    if precision == "int8" and faces is not None:
        model, calibration = quantized(model, spec, faces)
    if inside:
        model = _with_preprocessing(model, spec)
    known = {
        "weights_sha256": sha256,
        "digest": spec.digest(sha256, precision, calibration.sha256 if calibration else None),
        "precision": precision,
        "name": spec.name,
        "preprocessing": json.dumps(spec.preprocessing()),
        "preprocessing_inside": json.dumps(inside),
        "licence": spec.licence,
        "training_set": spec.training_set,
        "data_terms": spec.data_terms,
        "year": json.dumps(spec.year),
    }
    if calibration is not None:
        known["calibration"] = json.dumps(asdict(calibration))
    kept = {entry.key: entry.value for entry in model.metadata_props if not entry.key.startswith(_PREFIX)}
    onnx.helper.set_model_props(model, kept | {f"{_PREFIX}{key}": value for key, value in known.items()})
    model.doc_string = f"{spec.name}, exported by facecure"
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def read_export(file: Path) -> Graph:
    """Return the graph of a file that `export_onnx` wrote; raises `InputError` for another file."""
    try:
        return graph_in(file.read_bytes(), file)
    except OSError as error:
        raise InputError(f"export {file}: {error.strerror}") from error


def graph_in(data: bytes, file: Path) -> Graph:
    """Return the graph in the bytes of an export, read from `file`; raises `InputError` for another file's."""
    import onnx

    try:
        known = {entry.key: entry.value for entry in onnx.load_from_string(data).metadata_props}
    except Exception as error:  # protobuf's own kinds
        raise InputError(f"export {file} is not an ONNX file: {error}") from error
    if f"{_PREFIX}weights_sha256" not in known:
        raise InputError(f"export {file} does not say what weights it was made of; export it again")
    calibration = known.get(f"{_PREFIX}calibration")
    made_by = None if calibration is None else Calibration(**json.loads(calibration))
    return Graph(data, known[f"{_PREFIX}weights_sha256"], file, made_by)


def _from_torch(spec: ExtractorSpec, precision: Precision) -> tuple[Any, str]:
    """Return the ONNX model of a network with its batch norms folded, and the SHA-256 of its weights file."""
    try:
        import onnxscript  # noqa: F401
        import torch
    except ImportError as error:
        raise MissingDependency(error.name or "onnxscript", "cpu") from error
    from facecure.extractors.networks.folding import fold_batch_norms
    from facecure.extractors.runtimes.torch import load_network

    network, sha256 = load_network(spec)
    network = fold_batch_norms(network)
    if precision != "fp32":
        from facecure.extractors.networks.lower import Lower

        network = Lower(network, {"bf16": torch.bfloat16, "fp16": torch.float16}[precision])
    geometry = spec.geometry
    faces = torch.zeros(2, 3, geometry.height, geometry.width)
    level = logging.getLogger("torch.onnx").level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own deprecations
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # and that torchvision is not there
        try:
            program = torch.onnx.export(
                network,
                (faces,),
                input_names=["faces"],
                output_names=["embedding"],
                opset_version=_BF16_OPSET if precision == "bf16" else OPSET,
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH)},),
                verbose=False,
            )
        finally:
            logging.getLogger("torch.onnx").setLevel(level)
    assert program is not None
    return program.model_proto, sha256


def _with_preprocessing(model: Any, spec: ExtractorSpec) -> Any:
    """Return the model behind nodes that make its input from faces uint8 (N, H, W, 3) RGB."""
    from onnx import TensorProto, helper, numpy_helper

    graph, geometry = model.graph, spec.geometry
    planes = graph.input[0].name
    if spec.layout != "NCHW" or planes == "pixels":
        raise InputError(f"extractor {spec.name}: preprocessing goes inside of graphs that take NCHW only")
    channels = [0, 1, 2] if spec.colour == "RGB" else [2, 1, 0]
    values = {
        "facecure_channels": np.array(channels),
        "facecure_mean": np.array(spec.mean, np.float32).reshape(3, 1, 1),
        "facecure_std": np.array(spec.std, np.float32).reshape(3, 1, 1),
    }
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["facecure_planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Gather", ["facecure_planes", "facecure_channels"], ["facecure_ordered"], axis=1),
        helper.make_node("Cast", ["facecure_ordered"], ["facecure_float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["facecure_float", "facecure_mean"], ["facecure_centred"]),
        helper.make_node("Div", ["facecure_centred", "facecure_std"], [planes]),
    ]
    batch = graph.input[0].type.tensor_type.shape.dim[0]
    side = batch.dim_value or batch.dim_param or "batch"
    shape = [side, geometry.height, geometry.width, 3]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape)
    made = helper.make_graph(
        [*nodes, *graph.node],
        graph.name,
        [pixels],
        list(graph.output),
        [*graph.initializer, *(numpy_helper.from_array(value, name) for name, value in values.items())],
        value_info=graph.value_info,
    )
    whole = helper.make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version)
    whole.functions.extend(model.functions)
    whole.metadata_props.extend(model.metadata_props)
    return whole
