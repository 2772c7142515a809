"""A report as a terminal table, from its JSON content alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from facecure.names import printable
from facecure.report.markdown import HEADINGS, how, percent, row, weakest, weakest_row
from facecure.types import Cell, Report

_COLUMNS = 7  # bootstrap and spread are left to the Markdown, the others in the gallery to a line


def terminal(report: Report) -> RenderableType:
    """Return what `rich` prints after a run: the table, the weakest pictures, exclusions by kind, warnings."""
    name, splits = report.protocol["name"], report.protocol["splits"]
    table = Table(
        title=f"Protection rates ({name}, {splits} split{'s' * (splits > 1)}, {how(report)})", title_justify="left"
    )
    for heading in HEADINGS[:_COLUMNS]:
        if heading in ("cloak", "extractor"):
            table.add_column(heading, overflow="fold")
        else:  # in a narrow terminal names are folded, numbers never
            first, _, rest = heading.rpartition(" ")
            table.add_column(f"{first}\n{rest}".strip(), justify="right", no_wrap=True)
    for cell in report.cells:
        table.add_row(*map(_text, row(cell)[:_COLUMNS]))
    lines: list[RenderableType] = [table, *map(_text, _gallery(report.cells))]
    for cell in report.cells:
        if picture := weakest(cell):
            name = PurePath(picture.path).name + " (not cloaked)" * (picture.path in cell.uncloaked)
            alone = f"{picture.alone} probe{'s' * (picture.alone != 1)}"
            without = weakest_row(cell)[-1]
            lines.append(
                _text(
                    f"{cell.cloak} / {cell.extractor}: weakest picture {name} alone reveals {alone}; "
                    f"{without} without it instead of {percent(cell.protection_rate)}"
                )
            )
    for title, listed in (("Excluded", report.excluded), ("Suspects", report.suspects)):
        kinds = Counter(entry["reason"].split(":")[0] for entry in listed)
        if kinds:
            lines.append(_text(f"{title}: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())))
    lines += [_text(f"Warning: {warning}", "yellow") for warning in report.warnings]
    return Group(*lines)


def _text(content: str, style: str = "") -> Text:
    """Return text that shows names as they are: no markup, nothing that moves the cursor."""
    return Text(printable(content), style)


def _gallery(cells: Sequence[Cell]) -> list[str]:
    """Return who else was enrolled, in one line where that is the same for all cloaks."""
    names: dict[tuple[int, int], list[str]] = {}
    for cell in cells:
        if cell.probes:
            names.setdefault((cell.other_people, cell.other_pictures), []).append(cell.cloak)
    return [
        f"In the gallery{'' if len(names) == 1 else ' of ' + ', '.join(dict.fromkeys(cloaks))}: "
        f"{people} other people, {pictures} pictures"
        for (people, pictures), cloaks in names.items()
    ]
