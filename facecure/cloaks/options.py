"""What is asked of a cloak besides its name; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from facecure.errors import InputError
from facecure.types import ProtocolName

if TYPE_CHECKING:
    from facecure.cloaks.lpips import Lpips


@dataclass(frozen=True, slots=True)
class CloakOptions:
    """What is asked of a cloak besides its name.

    Under `corrected` surrogates that align see the face aligned, and the released code's quirks are mended; under
    `facecure-2021` they see the whole face, and the quirks are kept. `penalty` is Fawkes' weight of visible change,
    None for the tool's own. `reference_batch` couples the pictures of batches of this size as the released code does
    (Q5, Q15); without it every picture stands alone. `lpips` is LowKey's perceptual distance: an entry of the zoo such
    as "lpips-alex", "alex=BACKBONE,HEADS" (or squeeze, vgg), an opened one, or "none" to leave the term out. `seed` is
    that of starts, targets and mixes. Raises `InputError` for what is out of range.
    """

    protocol: ProtocolName = "corrected"
    penalty: float | None = None
    reference_batch: int | None = None
    lpips: str | Lpips | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.protocol not in get_args(ProtocolName):
            raise InputError(f"protocol is {' or '.join(get_args(ProtocolName))}, not {self.protocol!r}")
        if self.reference_batch is not None and self.reference_batch < 1:
            raise InputError(f"reference_batch is a number of pictures, 1 or more, not {self.reference_batch}")

    @property
    def released(self) -> bool:
        """Return whether the released code's quirks are kept."""
        return self.protocol == "facecure-2021"
