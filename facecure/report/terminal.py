"""A report as a terminal table, from its JSON content alone."""

from __future__ import annotations

from pathlib import PurePath

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from facecure.names import printable
from facecure.report.model import Report
from facecure.report.tables import HEADINGS, counted, galleries, how, kinds, percent, rate_without, row, weakest

_COLUMNS = 7  # bootstrap and spread are left to the Markdown, the others in the gallery to a line


def terminal(report: Report) -> RenderableType:
    """Return what `rich` prints after a run: the table, the weakest pictures, exclusions by kind, warnings."""
    protocol = report.protocol
    table = Table(
        title=f"Protection rates ({protocol.name}, {counted(protocol.splits, 'split')}, {how(report)})",
        title_justify="left",
    )
    for heading in HEADINGS[:_COLUMNS]:
        if heading in ("cloak", "extractor"):
            table.add_column(heading, overflow="fold")
        else:  # in a narrow terminal names are folded, numbers never
            first, _, rest = heading.rpartition(" ")
            table.add_column(f"{first}\n{rest}".strip(), justify="right", no_wrap=True)
    for cell in report.cells:
        table.add_row(*map(_text, row(cell)[:_COLUMNS]))
    lines: list[RenderableType] = [table, *map(_text, galleries(report.cells))]
    for cell in report.cells:
        if picture := weakest(cell):
            name = PurePath(picture.path).name + " (not cloaked)" * (picture.path in cell.uncloaked)
            lines.append(
                _text(
                    f"{cell.cloak} / {cell.extractor}: weakest picture {name} alone reveals "
                    f"{counted(picture.alone, 'probe')}; {percent(rate_without(cell, picture))} without it instead of "
                    f"{percent(cell.protection_rate)}"
                )
            )
    for title, listed in (("Excluded", report.excluded), ("Suspects", report.suspects)):
        if listed:
            lines.append(_text(f"{title}: {kinds([entry.reason for entry in listed])}"))
    lines += [_text(f"Warning: {warning}", "yellow") for warning in report.warnings]
    return Group(*lines)


def _text(content: str, style: str = "") -> Text:
    """Return text that shows names as they are: no markup, nothing that moves the cursor."""
    return Text(printable(content), style)
