"""`facecure info`."""

from __future__ import annotations

from rich.table import Table

from facecure.cli.console import Terminal, app
from facecure.kernels.device import cuda_devices
from facecure.runs.environment import EXTRAS, environment, version_of


@app.command(epilog="**Example**\n\n`facecure info`")
def info() -> None:
    """Versions, processor, what was built, and which extras are installed."""
    found = environment()
    count, reason = cuda_devices()
    found["cuda_devices"] = count or f"0: {reason}"
    table = Table("", "", show_header=False, box=None)
    found["threads"] = f"{found['threads']} ({found['threads_by']})"
    found["openmp"] = "yes" if found["openmp"] else "no: the kernels run on one thread"
    rows = (
        "python", "platform", "cpu", "cpu_simd", "cpu_bf16", "threads", "openmp", "cuda_built", "cuda_devices", "commit"
    )  # fmt: skip
    for key in rows:
        table.add_row(key.replace("_", " "), str(found[key]))
    table.add_row("packages", ", ".join(f"{name} {version}" for name, version in found["versions"].items()))
    for extra, packages in EXTRAS.items():
        missing = [package for package in packages if version_of(package) is None]
        state = f'missing {", ".join(missing)}: pip install "facecure[{extra}]"' if missing else "complete"
        table.add_row(f"extra {extra}", state)
    Terminal().print(table)
