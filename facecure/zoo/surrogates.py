"""What a cloak names besides itself: its surrogates, and the weights of its perceptual distance."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Union

from facecure.cloaks.options import CloakOptions
from facecure.cloaks.registry import parse
from facecure.errors import InputError
from facecure.execution import Execution
from facecure.extractors.spec import ExtractorSpec
from facecure.zoo.find import find_lpips, find_spec

if TYPE_CHECKING:
    from torch import nn

    from facecure.cloaks.surrogate import Surrogate

# a spec with torch weights, by itself, by its file or by its name in the zoo; any torch module with such a spec; or a
# surrogate as it is
NamedSurrogate = Union[str, os.PathLike[str], ExtractorSpec, "tuple[nn.Module, ExtractorSpec]", "Surrogate"]


def find_surrogates(surrogates: Sequence[NamedSurrogate], execution: Execution) -> list[Surrogate]:
    """Return surrogates ready to be asked; raises `InputError` where two have one name, or as `find_spec` does."""
    from facecure.cloaks.surrogate import Surrogate

    pairs = [entry if isinstance(entry, tuple) else (None, entry) for entry in surrogates]
    specs = [(n, e if isinstance(e, ExtractorSpec | Surrogate) else find_spec(e)) for n, e in pairs]
    for name, count in Counter(spec.name for _, spec in specs).items():
        if count > 1:
            raise InputError(f"{count} surrogates are called {name!r}; give each spec a name of its own")
    return [spec if isinstance(spec, Surrogate) else Surrogate.of(spec, network, execution) for network, spec in specs]


def find_options(name: str, options: CloakOptions, execution: Execution) -> CloakOptions:
    """Return the options of a cloak's name with LPIPS opened, if it wants that.

    Raises `InputError` for a penalty that no cloak of the name takes, and as `find_lpips` does.
    """
    cloaks = [part.cloak for part in parse(name)]
    if options.penalty is not None and all(cloak.usual_penalty is None for cloak in cloaks):
        raise InputError(f"{name} takes no penalty: that is Fawkes' weight of visible change", parameter="penalty")
    wanted = any(cloak.wants_lpips for cloak in cloaks)
    if not wanted or not isinstance(options.lpips, str) or options.lpips == "none":
        return options
    from facecure.cloaks.lpips import load_lpips

    return replace(options, lpips=load_lpips(*find_lpips(options.lpips), device=execution.device))
