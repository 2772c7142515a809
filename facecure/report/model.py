"""A report as data: counts are stored, every rate is derived from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from facecure.report.comparison import Comparison
from facecure.report.provenance import Environment, PictureCounts, Protocol
from facecure.report.statistics import clopper_pearson, unseen_below, wilson
from facecure.types import Exclusion, Suspect

if TYPE_CHECKING:
    import pandas

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Rate:
    """A share that is counted: `hits` of `n` trials. Without trials value and intervals are None.

    >>> Rate(8, 18).value
    0.4444444444444444
    """

    hits: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.n:
            raise ValueError(f"a rate of {self.hits} hits in {self.n} trials does not exist")

    @property
    def value(self) -> float | None:
        """The rate itself, 0…1."""
        return self.hits / self.n if self.n else None

    @property
    def wilson(self) -> Interval | None:
        """Wilson's 95 % score interval, which treats the trials as independent."""
        return wilson(self.hits, self.n)

    @property
    def exact(self) -> Interval | None:
        """Clopper and Pearson's 95 % interval, which covers at least as often as it says."""
        return clopper_pearson(self.hits, self.n)


@dataclass(frozen=True, slots=True)
class RevealedBy:
    """A cloaked gallery picture that identified its person.

    `probes` counts the searches it answered, `alone` those that no other cloaked picture would have answered.
    """

    path: str
    probes: int
    alone: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityResult:
    """Counts of one protected identity, over all splits; the hits of every rate are searches that went wrong.

    `protection`: clean probes searched in the gallery with this person's cloaked pictures. `clean`: the same probes
    with the same pictures uncloaked. `control`: other people's probes while this person is cloaked. `enrolled`: the
    person's own cloaked gallery pictures, searched themselves.
    """

    identity: str
    protection: Rate
    clean: Rate
    control: Rate
    enrolled: Rate
    revealed_by: tuple[RevealedBy, ...] = ()

    @property
    def probes(self) -> int:
        """Number of searches for this person."""
        return self.protection.n

    @property
    def identified(self) -> int:
        """Number of those that found them."""
        return self.protection.n - self.protection.hits


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """Somebody who was named as protected and has no rate, and why."""

    identity: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellKey:
    """What a cell is about: one cloak against one extractor, one recogniser, one scenario.

    `year` is the extractor's release. `white_box` says whether the cloak was made against that very network, None where
    nobody knows.
    """

    cloak: str
    extractor: str
    protocol: str
    recogniser: str = "nn"
    scenario: str = "baseline"
    year: int | None = None
    white_box: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult(CellKey):
    """The answer to one cell; the hits of every rate are searches that went wrong, as in `IdentityResult`.

    Stored: the `identities` with their counts; `splits`, the protection rate of each split; `bootstrap`, the interval
    that resamples identities (None below five); `distinct_probes`, where a picture that is a probe in several splits
    counts once; the fewest `other_people` and `other_pictures` beside a protected person; `chance`, the share of probes
    that answers at random would identify; `unmeasured` people; `uncloaked`, paths of pictures that were given as
    cloaked, and are counted so, but are the clean ones themselves.
    """

    identities: tuple[IdentityResult, ...] = ()
    splits: tuple[Rate, ...] = ()
    unmeasured: tuple[Unmeasured, ...] = ()
    bootstrap: Interval | None = None
    distinct_probes: int = 0
    other_people: int = 0
    other_pictures: int = 0
    chance: float | None = None
    uncloaked: tuple[str, ...] = ()

    @property
    def protection(self) -> Rate:
        """Clean probes that were not identified, of all."""
        return pooled([person.protection for person in self.identities])

    @property
    def clean(self) -> Rate:
        """The same probes not identified although the person's pictures were uncloaked."""
        return pooled([person.clean for person in self.identities])

    @property
    def control(self) -> Rate:
        """Other people's probes not identified, summed over protected people; `control_error` is another mean."""
        return pooled([person.control for person in self.identities])

    @property
    def enrolled(self) -> Rate:
        """Cloaked gallery pictures that, searched themselves, did not find their person."""
        return pooled([person.enrolled for person in self.identities])

    @property
    def probes(self) -> int:
        """Number of searches for protected people, over all splits."""
        return self.protection.n

    @property
    def identified(self) -> int:
        """Number of those that found the person."""
        return sum(person.identified for person in self.identities)

    @property
    def protection_rate(self) -> float | None:
        """The protection rate, pooled over identities and splits."""
        return self.protection.value

    @property
    def interval(self) -> Interval | None:
        """Wilson's 95 % interval of the protection rate."""
        return self.protection.wilson

    @property
    def exact(self) -> Interval | None:
        """Clopper and Pearson's 95 % interval of the protection rate."""
        return self.protection.exact

    @property
    def clean_error(self) -> float | None:
        """The error on the same probes without cloaks: protection is what exceeds it."""
        return self.clean.value

    @property
    def enrolled_error(self) -> float | None:
        """The error on the cloaked gallery pictures themselves."""
        return self.enrolled.value

    @property
    def control_error(self) -> float | None:
        """The mean, over protected people, of the error on others; `control` pools the searches instead.

        The two differ where protected people met different numbers of others' probes.
        """
        return _mean([person.control for person in self.identities])

    @property
    def identity_mean(self) -> float | None:
        """The mean of the identities' own protection rates: every person weighs the same."""
        return _mean([person.protection for person in self.identities])

    @property
    def split_rates(self) -> tuple[float | None, ...]:
        """The protection rate of each split."""
        return tuple(rate.value for rate in self.splits)

    @property
    def unseen_below(self) -> float | None:
        """The smallest protection rate that the distinct probes would have shown with 95 % probability."""
        return unseen_below(self.distinct_probes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a third party needs to read and re-check a run; the other files of `facecure.report` render it.

    `date` is the UTC end of the run, ISO 8601, None in reports of schema /1. `pictures` counts per set; `suspects` take
    part although they look wrong.
    """

    cells: tuple[CellResult, ...]
    protocol: Protocol
    pictures: dict[str, PictureCounts]
    excluded: tuple[Exclusion, ...]
    warnings: tuple[str, ...]
    environment: Environment
    date: str | None
    comparisons: tuple[Comparison, ...] = ()
    suspects: tuple[Suspect, ...] = ()

    def to_dataframe(self) -> pandas.DataFrame:
        """Return the cells as a pandas table, one row each, with the columns of `report.csv`.

        Raises `MissingDependency` without pandas.
        """
        from facecure.report.records import to_dataframe

        return to_dataframe(self)


def pooled(rates: list[Rate]) -> Rate:
    """Return the rate over all trials."""
    return Rate(sum(rate.hits for rate in rates), sum(rate.n for rate in rates))


def _mean(rates: list[Rate]) -> float | None:
    values = [rate.value for rate in rates if rate.value is not None]
    return sum(values) / len(values) if values else None
