"""`python bench/table.py`: write README's speed table from bench/results; a test compares the two."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import fill
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- written by bench/table.py from bench/results -->\n", "<!-- end of the written table -->\n"
HEADINGS = ("benchmark", "what", "ours", "reference", "ratio", "CPU")

# a line each: results file, keys of the measurement inside it, what is timed, what it is compared with
LINES: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    ("faces", (), "250 px JPEG → aligned 112 × 112 float32, one thread", "Pillow and numpy"),
    ("faces", ("real",), "the same, real pictures (LFW)", ""),
    (
        "population", (), "530 identities × 51 × 512, one cloak, other people's probes included",
        "scikit-learn rebuilt per identity (8 timed, scaled)",
    ),
    ("population.avx2", (), "the same", ""),
    (
        "cloak", ("cloaks", "fawkes-v1.0:high"), "one step of Fawkes v1.0 high on one picture, two MobileFaceNets",
        "the released way in plain torch",
    ),
    ("cloak", ("cloaks", "fawkes-v0.3:high"), "the same, Fawkes v0.3 high", ""),
    ("cloak", ("cloaks", "lowkey"), "the same, LowKey", ""),
    (
        "cloak_step", (), "a Fawkes step but for its extractors, 8 pictures of 112 × 112",
        "eager torch with autograd",
    ),
    ("cloak_step.avx2", (), "the same", ""),
    (
        "zoo", (), "a face through a torch network of the zoo, median of three small ones; the same decisions",
        "ONNX Runtime",
    ),
    (
        "embed", (), "a face through an iResNet-50, OpenVINO in bf16, from uint8",
        "ONNX Runtime in fp32, batches of 32",
    ),
    (
        "verdicts", (), "1,610 real faces to exact 1-NN verdicts, OpenVINO in bf16 and what that leaves open again in "
        "fp32; median of three MobileFaceNets (ONNX Runtime is slow at PReLU, which two have)",
        "ONNX Runtime in fp32",
    ),
    (
        "linear", (), "100 identities × 12 × 128, each one's converged linear classifier, cloaked and not",
        "scikit-learn refitted per identity (8 timed, scaled)",
    ),
)  # fmt: skip


def main() -> None:
    """Write the table between its marks in README."""
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")


def with_table(readme: str) -> str:
    """Return README's text with the table as it follows from the results; raises `ValueError` without its marks."""
    before, after = readme.index(BEGIN) + len(BEGIN), readme.index(END)
    return readme[:before] + table() + readme[after:]


def table() -> str:
    """Return the table, and what the files say beyond it, as Markdown."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "| --- " * len(HEADINGS) + "|"]
    shown = ""
    for name, keys, what, reference in LINES:
        result = measured = read(name)
        for key in keys:
            measured = measured[key]
        cells = (
            f"[{title(name)}](bench/results/{name}.json)" * (name != shown),
            what,
            seconds(measured["ours_s"]),
            seconds(measured["reference_s"]) + f", {reference}" * bool(reference),
            three_digits(measured["reference_s"] / measured["ours_s"]),
            processor(result["environment"]) * (name != shown),
        )
        lines.append("| " + " | ".join(cells) + " |")
        shown = name
    return "\n".join(lines) + "\n\n" + beyond() + "\n"


def read(name: str) -> dict[str, Any]:
    """Return the results of one benchmark."""
    result: dict[str, Any] = json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return result


def title(name: str) -> str:
    """Return a results file's name as a link shows it."""
    benchmark, _, mask = name.partition(".")
    return f"… with {mask.upper()} alone" if mask else f"`{benchmark}`"


def seconds(value: float) -> str:
    """Return a time to three digits, in a unit that fits: 547 µs, 190 ms, 1,345 s."""
    unit, scale = ("s", 1.0) if value >= 0.2 else ("ms", 1e-3) if value >= 1e-3 else ("µs", 1e-6)
    return f"{three_digits(value / scale)} {unit}"


def three_digits(value: float) -> str:
    """Return a positive number to three digits, or to the unit from 1,000 on."""
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:,.{decimals}f}"


def processor(environment: dict[str, Any]) -> str:
    """Return the make of the CPU."""
    name: str = environment["cpu"]
    return name.replace("(R)", "").removesuffix(" Processor")


def beyond() -> str:
    """Return the sentences on large galleries and whole cloak runs."""
    wide, narrow = (read(name)["galleries"][-1] for name in ("population", "population.avx2"))
    cloaks = read("cloak")["cloaks"]
    networks = [c["profile"]["extractors"] + c["profile"].get("LPIPS", 0) for c in cloaks.values()]
    rates = ", ".join(f"{c['pictures_per_s']:.2f} for `{name}`" for name, c in cloaks.items())
    text = (
        f"With {wide['distractors']:,} further people in the gallery the population pass takes "
        f"{seconds(wide['seconds'])} ({seconds(narrow['seconds'])} with AVX2 alone) and "
        f"{wide['working_bytes'] / 1e9:.2f} GB of working memory, beside {wide['vectors_bytes'] / 1e9:.1f} GB of "
        f"embeddings. Of a cloak's step the networks' own passes are {100 * min(networks):.0f} to "
        f"{100 * max(networks):.0f} %. Pictures per second in whole runs: {rates}."
    )
    return fill(text, 120, break_long_words=False, break_on_hyphens=False) + "\n"


if __name__ == "__main__":
    main()
