"""The kinds of failure a caller can act on; every message says what to do."""


class FacecureError(Exception):
    """Base of all errors raised on purpose."""


class InputError(FacecureError):
    """Something the caller named (folder, manifest, spec, argument) cannot be used as it is."""


class MissingDependency(FacecureError):
    """A backend was asked for and is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package} is not installed. Install it with: pip install "facecure[{extra}]"')


class DigestMismatch(FacecureError):
    """A file is not the one that was promised."""
