"""Samples from what the user names: a folder of identities, a FaceScrub download or a CSV / Parquet manifest."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facecure.errors import InputError, MissingDependency
from facecure.names import shown, spelling
from facecure.pictures.companions import drop_companions, rank
from facecure.pictures.facescrub import crop_folder, identity_of
from facecure.pictures.files import is_file, is_folder
from facecure.pictures.pairing import drop_named_cloaks, pair, stripped
from facecure.types import Exclusion, Named, Role, Sample

_COLUMNS = ("identity", "path", "key")


@dataclass(frozen=True, slots=True)
class PictureSets:
    """All samples of a run, in row order (identities sorted, then file names), and what was left out by name."""

    samples: tuple[Sample, ...]
    excluded: tuple[Exclusion, ...]
    warnings: tuple[str, ...] = field(default=())


def check_unprotected(cloaked: Collection[str], unprotected: Collection[str]) -> None:
    """Raise `InputError` unless every cloak with unprotected pictures has cloaked ones."""
    for name in unprotected:
        if name not in cloaked:
            raise InputError(
                f"unprotected has {name!r}, which cloaked has not; name its cloaked pictures too", parameter="cloaked"
            )


def read_sets(
    clean: Named,
    cloaked: Mapping[str, Named] | None = None,
    unprotected: Mapping[str, Named] | None = None,
    distractors: Sequence[Named] = (),
) -> PictureSets:
    """Return the samples of a whole run, cloaked ones paired to clean ones.

    Raises `InputError` for a source that does not exist or holds no picture at all.
    """
    cloaked, unprotected = cloaked or {}, unprotected or {}
    check_unprotected(cloaked, unprotected)
    excluded: list[Exclusion] = []
    warnings: list[str] = []

    def take(part: tuple[list[Sample], list[Exclusion]]) -> list[Sample]:
        excluded.extend(part[1])
        return part[0]

    def read(source: Named, role: Role, cloak: str = "") -> list[Sample]:
        samples, left_out, notes = read_samples(source, role, cloak)
        warnings.extend(notes)
        return take((samples, left_out))

    def read_paired(source: Named, role: Role, cloak: str) -> list[Sample]:
        paired, left_out = pair(people, read(source, role, cloak))
        if not paired:
            reasons = "; ".join(dict.fromkeys(e.reason for e in left_out[:3]))
            raise InputError(f"no picture of {source} pairs with one of {clean}: {reasons}")
        return take((paired, left_out))

    people = take(_one_per_key(take(drop_named_cloaks(read(clean, "clean")))))
    everything = list(people)
    for name, source in unprotected.items():
        everything += read_paired(source, "unprotected", name)
    for name, source in cloaked.items():
        everything += read_paired(source, "cloaked", name)
    names = {sample.identity for sample in people}
    for source in distractors:
        for sample in read(source, "distractor"):
            if sample.identity in names:
                excluded.append(
                    Exclusion(sample.path, f"distractor: {sample.identity!r} is also an identity of the clean pictures")
                )
            else:
                everything.append(sample)
    return PictureSets(tuple(everything), tuple(excluded), tuple(warnings))


def read_samples(
    source: Named, role: Role = "clean", cloak: str = ""
) -> tuple[list[Sample], list[Exclusion], list[str]]:
    """Return samples, exclusions and warnings of one folder or manifest.

    A folder is `<identity>/<picture>`, `<identity>/face/<picture>` or flat `{name}_{image_id}_{face_id}` files. Every
    file is a candidate, whatever its extension: what it is shows when it is opened. Of files of one name those that are
    no pictures are companions of the one that is. Hidden files are not pictures.
    """
    source = Path(source)
    if is_file(source):
        return _read_table(source, role, cloak)
    if not is_folder(source):
        raise InputError(f"{source}: no such folder or manifest")
    samples: list[Sample] = []
    excluded: list[Exclusion] = []
    warnings: list[str] = []
    try:
        entries = _visible(source)
    except OSError as error:
        raise InputError(f"{source}: {error.strerror}; give access to it, or name another folder") from error
    folders, files = _divided(entries)
    files, companions = drop_companions(files)
    excluded += companions
    for file in files:
        stem = next(iter(stripped(file.stem, role)), file.stem)
        name = identity_of(stem)
        if name is None:
            excluded.append(Exclusion(file, "no identity: lies in no identity folder, no {name}_{id}_{face} name"))
        else:
            samples.append(_sample(name, file, file.stem, role, cloak))
    for folder in folders:
        crops = crop_folder(folder)
        try:
            entries = _visible(crops)
            beside = [path.name for path in _visible(folder) if path != crops] if crops != folder else []
        except OSError as error:
            excluded.append(Exclusion(folder, f"unreadable: {error.strerror}"))
            continue
        if beside:
            names = ", ".join(beside)
            warnings.append(f"{folder}: {len(beside)} beside face/ are not used: {names[:200]}")
        inner, files = _divided(entries)
        reason = "folder: pictures are read from <identity>/ or <identity>/face/ only"
        excluded += [Exclusion(path, reason) for path in inner]
        files, companions = drop_companions(files)
        excluded += companions
        samples += [_sample(folder.name, path, path.stem, role, cloak) for path in files]
    if not samples:
        reasons = "".join(f"; {e.path}: {e.reason}" for e in excluded if e.reason.startswith("unreadable"))
        raise InputError(f"{source} holds no <identity>/<picture>{reasons}")
    samples.sort(key=lambda sample: sample.order)
    return samples, excluded, warnings


def _read_table(source: Path, role: Role, cloak: str) -> tuple[list[Sample], list[Exclusion], list[str]]:
    """Return samples of a manifest with the columns `identity`, `path` and optionally `key` (default: the stem).

    Paths are relative to the manifest; a missing file is listed when it cannot be opened, like any other.
    """
    columns, rows = _parquet_rows(source) if source.suffix == ".parquet" else _csv_rows(source)
    if not {"identity", "path"} <= set(columns):
        raise InputError(
            f"{source} has the columns {', '.join(columns) or 'of an empty file'}; a manifest has identity, path and "
            "optionally key, in CSV separated by commas"
        )
    samples: list[Sample] = []
    for number, row in rows:
        identity, path, key = (str(value) if value is not None else "" for value in map(row.get, _COLUMNS))
        if not identity or not path:
            raise InputError(f"{source}, row {number}: needs a value for the columns identity and path")
        where = source.parent / path
        samples.append(_sample(identity, where, key or where.stem, role, cloak))
    if not samples:
        raise InputError(f"{source} has no rows; a manifest has the columns identity, path and optionally key")
    samples.sort(key=lambda sample: sample.order)
    return samples, [], []


_Rows = tuple[Sequence[str], list[tuple[int, dict[str, Any]]]]


def _csv_rows(source: Path) -> _Rows:
    """Return the columns, and the rows with the line each ends on."""
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            return reader.fieldnames or (), [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{source} is not a CSV manifest in UTF-8: {error}") from error
    except OSError as error:
        raise InputError(f"{source}: {error.strerror}; give access to it, or name another manifest") from error


def _parquet_rows(source: Path) -> _Rows:
    """Return the columns, and the rows with their numbers from 1."""
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise MissingDependency("pyarrow", "parquet") from error
    try:
        table = parquet.read_table(source)
    except ArrowInvalid as error:
        raise InputError(f"{source} is not a Parquet manifest: {error}") from error
    except OSError as error:
        raise InputError(f"{source}: {error}; give access to it, or name another manifest") from error
    return table.column_names, list(enumerate(table.to_pylist(), start=1))


def _sample(identity: str, path: Path, key: str, role: Role, cloak: str) -> Sample:
    # macOS stores decomposed names: the same person must not become two by spelling
    return Sample(spelling(identity), path, spelling(key), role, cloak)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _divided(entries: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return folders and files; what may not be looked at counts as a file, which says so when it is opened."""
    folders: list[Path] = []
    files: list[Path] = []
    for entry in entries:
        (folders if is_folder(entry) else files).append(entry)
    return folders, files


def _one_per_key(samples: Sequence[Sample]) -> tuple[list[Sample], list[Exclusion]]:
    """Return clean samples whose stem is unique in their identity, for x.jpg and x.png could not be told apart.

    Of several the one in the commonest format is taken, which of a camera's raw file and its JPEG is the latter.
    """
    groups: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.identity, sample.key].append(sample)
    kept, excluded = [], []
    for (_, key), group in groups.items():
        if len(group) > 1:
            group.sort(key=lambda sample: rank(sample.path))
        kept += group[:1]
        excluded += [
            Exclusion(s.path, f"unpaired: {shown(group[0].path.name)} has the stem {key!r} too and is taken; keep one")
            for s in group[1:]
        ]
    return kept, excluded
