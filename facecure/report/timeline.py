"""The timeline figure: protection rates over the release years of extractors, as SVG, from a report's content alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from facecure.names import printable
from facecure.report.model import CellResult, Report

_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 180, 44, 84
# Okabe and Ito's colours, which people with colour blindness tell apart
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def timeline_svg(report: Report) -> str | None:
    """Return an SVG with a line per cloak: rate and interval by year; None where no cell has both.

    Hollow rings are clean errors, squares white-box cells, in which the cloak was made against the extractor itself.
    """
    cells = [cell for cell in report.cells if cell.year is not None and cell.protection_rate is not None]
    if not cells:
        return None
    columns = _columns(cells)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12" role="img" aria-label="Protection rate by release year of the extractor">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">Protection rate by release year of the extractor</text>',
        *_axes(columns),
    ]
    for number, cloak in enumerate(dict.fromkeys(cell.cloak for cell in cells)):
        of_cloak = sorted((c for c in cells if c.cloak == cloak), key=lambda cell: columns[cell.extractor][0])
        parts += _line(of_cloak, columns, _COLOURS[number % len(_COLOURS)], number)
    return "\n".join([*parts, *_legend(cells), "</svg>"]) + "\n"


def _columns(cells: Sequence[CellResult]) -> dict[str, tuple[float, str]]:
    """Return x and label per extractor, in order of year, evenly spaced: years have gaps and ties."""
    order = sorted({(cell.year or 0, cell.extractor) for cell in cells})
    step = (_WIDTH - _LEFT - _RIGHT) / len(order)
    return {name: (_LEFT + (i + 0.5) * step, f"{name} {year}") for i, (year, name) in enumerate(order)}


def _label(text: str) -> str:
    return escape(printable(text))


def _y(rate: float) -> float:
    return _TOP + (1 - rate) * (_HEIGHT - _TOP - _BOTTOM)


def _axes(columns: dict[str, tuple[float, str]]) -> list[str]:
    parts = []
    for percent in range(0, 101, 20):
        y = _y(percent / 100)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>')
    for x, label in columns.values():
        name, _, year = label.rpartition(" ")
        parts.append(
            f'<text transform="translate({x:.1f} {_HEIGHT - _BOTTOM + 14}) rotate(18)" font-size="10">'
            f"{_label(name)} ({year})</text>"
        )
    return parts


def _line(cells: Sequence[CellResult], columns: dict[str, tuple[float, str]], colour: str, number: int) -> list[str]:
    shift = 5 * number  # so that intervals of several cloaks stand side by side
    points = [(columns[c.extractor][0] + shift, c) for c in cells]
    path = " ".join(f"{x:.1f},{_y(c.protection_rate or 0):.1f}" for x, c in points)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-opacity="0.5"/>']
    for x, cell in points:
        y = _y(cell.protection_rate or 0)
        if cell.interval is not None:
            low, high = map(_y, cell.interval)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{colour}"/>')
        mark = (
            f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" fill="{colour}">'
            if cell.white_box
            else f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}">'
        )
        said = f"{cell.cloak}, {cell.extractor}: {100 * (cell.protection_rate or 0):.1f} %, n = {cell.probes}"
        parts.append(f"{mark}<title>{_label(said)}</title>{'</rect>' if cell.white_box else '</circle>'}")
        if cell.clean_error is not None:
            clean = _y(cell.clean_error)
            parts.append(f'<circle cx="{x:.1f}" cy="{clean:.1f}" r="4" fill="white" stroke="{colour}"/>')
    return parts


def _legend(cells: Sequence[CellResult]) -> list[str]:
    x, parts = _WIDTH - _RIGHT + 22, []
    counts = Counter(cell.cloak for cell in cells)
    for number, cloak in enumerate(counts):
        y, colour = _TOP + 10 + 20 * number, _COLOURS[number % len(_COLOURS)]
        parts.append(f'<circle cx="{x}" cy="{y}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{x + 12}" y="{y + 4}">{_label(cloak)}</text>')
    y = _TOP + 10 + 20 * len(counts)
    parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="white" stroke="#555555"/>')
    parts.append(f'<text x="{x + 12}" y="{y + 4}">clean error</text>')
    if any(cell.white_box for cell in cells):
        parts.append(f'<rect x="{x - 5}" y="{y + 15}" width="10" height="10" fill="#555555"/>')
        parts.append(f'<text x="{x + 12}" y="{y + 24}">white box</text>')
    return parts
