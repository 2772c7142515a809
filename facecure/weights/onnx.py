"""ONNX files that keep values in other files: taken in whole, from the file's own folder alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facecure.errors import InputError, MissingDependency


def take_in(file: Path, data: bytes) -> tuple[bytes, list[bytes]]:
    """Return the graph in `data` with all its values inside, and the contents of the other files, in order of name.

    `data` is what was read from `file`; without values elsewhere it is returned as it is. Raises `InputError` for a
    file that cannot be read or lies elsewhere than in the folder of `file`: a graph may name any path of this machine.
    """
    if b"location" not in data:  # the key that every reference to another file has
        return data, []
    try:
        import onnx
    except ImportError as error:
        raise MissingDependency("onnx", "cpu") from error
    try:
        model = onnx.load_from_string(data)
    except Exception:  # no graph at all: the runtime that opens it says so
        return data, []
    names = sorted({name for tensor in _tensors(model) if (name := _location(tensor)) is not None})
    if not names:
        return data, []
    folder = file.parent.resolve()
    contents = []
    for name in names:
        path = (folder / name).resolve()
        if Path(name).is_absolute() or not path.is_relative_to(folder):
            raise InputError(f"{file}: the graph wants values from {name}, which is not in its own folder; refused")
        try:
            contents.append(path.read_bytes())
        except OSError as error:
            raise InputError(f"{file}: the graph keeps values in {path}: {error.strerror}; place it there") from error
    try:
        onnx.load_external_data_for_model(model, str(folder))
        return model.SerializeToString(), contents
    except Exception as error:  # onnx' and protobuf's own kinds
        raise InputError(f"{file}: its values in {', '.join(names)} cannot be taken in: {error}") from error


def _tensors(message: Any) -> Iterator[Any]:
    """Yield every tensor anywhere in a protobuf message."""
    import onnx

    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if isinstance(value, (list, tuple)) or hasattr(value, "add") else [value]:
                yield from _tensors(part)


def _location(tensor: Any) -> str | None:
    """Return the file that a tensor's values lie in, None where they lie inside."""
    import onnx

    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return None
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
