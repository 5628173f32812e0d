"""Scores of two SUTs matched item by item: what is wrong, what is missing, which clusters."""

from collections.abc import Sequence
from dataclasses import dataclass

from inferometer.quality.scoring import Status
from inferometer.stats import inputs, proportions
from inferometer.stats.inputs import Floats
from inferometer.stats.proportions import ClusteredMean, Proportion
from inferometer.stats.result import Result

WRONG: tuple[Status, ...] = ("invalid", "empty")


@dataclass(frozen=True)
class ItemScore:
    """One metric of one SUT's answer to one item; None with a status that says why."""

    item: str
    value: float | None
    status: Status = "ok"
    cluster: str | None = None


@dataclass(frozen=True, repr=False)
class Side(Result):
    """What became of a SUT's answers; `missing` lists the items that only the other side has."""

    mean: float
    wilson: Proportion | None
    invalid: int
    empty: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Pairs:
    """The items that have a score on both sides, in the order of the first."""

    items: tuple[str, ...]
    a: Floats
    b: Floats
    clusters: tuple[str, ...] | None
    missing_a: tuple[str, ...]
    missing_b: tuple[str, ...]

    @classmethod
    def of(cls, a: Sequence[ItemScore], b: Sequence[ItemScore], binary: bool) -> "Pairs":
        """Match the scores; ValueError for an item twice, or none that both sides have."""
        one, two = _values("a", a, binary), _values("b", b, binary)
        items = tuple(item for item in one if item in two)
        if not items:
            raise ValueError("a, b: no item has a score on both sides")
        every = {score.item for score in (*a, *b)}
        return cls(
            items,
            inputs.sample("a", [one[item] for item in items]),
            inputs.sample("b", [two[item] for item in items]),
            _clusters(items, [*a, *b]),
            tuple(sorted(every - one.keys())),
            tuple(sorted(every - two.keys())),
        )

    def over_clusters(self, confidence: float) -> ClusteredMean | None:
        """Mean difference with an error that allows for clusters; None where items have none."""
        if self.clusters is None:
            return None
        return proportions.clustered_mean(self.a - self.b, self.clusters, confidence)

    def side(
        self,
        scores: Sequence[ItemScore],
        values: Floats,
        missing: tuple[str, ...],
        confidence: float | None,
    ) -> Side:
        """Counts over the items in common; Wilson's interval where `confidence` is given."""
        used = [score.status for score in scores if score.item in set(self.items)]
        rate = None
        if confidence is not None:
            rate = proportions.wilson(int(values.sum()), values.size, confidence)
        mean = float(values.mean())
        return Side(mean, rate, used.count("invalid"), used.count("empty"), missing)


def in_common(a: Sequence[ItemScore], b: Sequence[ItemScore], binary: bool) -> bool:
    """Whether an item has a score on both sides, so that they can be compared."""
    return not _values("a", a, binary).keys().isdisjoint(_values("b", b, binary))


def _values(name: str, scores: Sequence[ItemScore], binary: bool) -> dict[str, float]:
    found: dict[str, float] = {}
    seen: set[str] = set()
    for score in scores:
        if score.item in seen:
            raise ValueError(f"{name}: item {score.item} is scored twice")
        seen.add(score.item)
        value = 0.0 if binary and score.status in WRONG else score.value
        if value is None:
            continue
        if binary and value not in (0, 1):
            raise ValueError(f"{name}: item {score.item} scores {value:g}; only 0 and 1 can")
        found[score.item] = float(value)
    return found


def _clusters(items: Sequence[str], scores: Sequence[ItemScore]) -> tuple[str, ...] | None:
    """The cluster of each item; None where no item has one."""
    named: dict[str, str] = {}
    for score in scores:
        if score.cluster is None:
            continue
        if named.setdefault(score.item, score.cluster) != score.cluster:
            raise ValueError(f"a, b: item {score.item} is in two clusters")
    without = [item for item in items if item not in named]
    if named and without:
        raise ValueError(f"a, b: item {without[0]} has no cluster, others have one")
    return tuple(named[item] for item in items) if named else None
