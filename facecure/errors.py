"""The kinds of failure a caller can act on; every message says what to do."""


class FacecureError(Exception):
    """Base of all errors raised on purpose."""


class InputError(FacecureError):
    """Something the caller named (folder, manifest, spec, argument) cannot be used as it is.

    `parameter` is the one that mends it, by its name in Python; the command line tells its option.
    """

    def __init__(self, message: str, *, parameter: str = "") -> None:
        super().__init__(message)
        self.parameter = parameter


class MissingDependency(FacecureError):
    """A backend was asked for and is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package} is not installed. Install it with: pip install "facecure[{extra}]"')


class DigestMismatch(FacecureError):
    """A file is not the one that was promised."""
