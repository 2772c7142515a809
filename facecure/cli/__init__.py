"""The command line: a shell over the Python functions, a file per command."""

from __future__ import annotations

import sys

from rich.console import Console

from facecure.cli import certify, cloak, demo, embed, evaluate, info, models, train_robust  # noqa: F401  # registers them
from facecure.cli.console import app as app
from facecure.cli.console import plain
from facecure.errors import FacecureError


def main() -> None:
    """Run the command line; errors that a user can mend end with one line and status 2."""
    try:
        app()
    except FacecureError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {plain(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(2)
