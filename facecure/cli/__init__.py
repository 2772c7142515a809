"""The command line: a shell over the Python functions, a file per command."""

from __future__ import annotations

import io
import signal
import sys
from types import FrameType

from rich.text import Text

from facecure.cli import certify, cloak, demo, embed, evaluate, info, models, train_robust  # noqa: F401  # registers them
from facecure.cli.console import Terminal
from facecure.cli.console import app as app
from facecure.errors import FacecureError, InputError


class Terminated(KeyboardInterrupt):
    """A signal that ends the process, taken as Ctrl-C is: what is done is kept."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


def main() -> None:
    """Run the command line; errors that a user can mend end with one line and status 2."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know less than our text holds
    try:
        app()
    except Terminated as interruption:
        sys.exit(128 + interruption.signal)
    except FacecureError as error:
        option = f"(--{error.parameter})" if isinstance(error, InputError) and error.parameter else ""
        Terminal(stderr=True).print(Text("error:", "bold red"), *filter(None, [str(error), option]), soft_wrap=True)
        sys.exit(2)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)
