"""Choose among judged claims, order them, count them, and give them as plain data."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from inferometer.claims.verdicts import ORDER, Judged


@dataclass(frozen=True)
class Filter:
    """What a listing is narrowed to; `None` leaves a side open."""

    source: str | None = None
    kind: str | None = None
    verdict: str | None = None
    experiment: str | None = None

    def admits(self, item: Judged) -> bool:
        """Whether a claim passes every side that is set."""
        return (
            self.source in (None, item.source.id)
            and self.kind in (None, item.claim.kind)
            and self.verdict in (None, item.verdict)
            and self.experiment in (None, item.claim.experiment)
        )


def chosen(items: Iterable[Judged], narrowed: Filter) -> list[Judged]:
    """The claims that pass, in their order."""
    return [item for item in items if narrowed.admits(item)]


def strongest_first(items: Iterable[Judged]) -> list[Judged]:
    """The gravest verdict first; within one verdict, the largest factor first, then by id."""
    return sorted(
        items,
        key=lambda item: (ORDER.index(item.verdict), -(item.factor or 0.0), item.claim.id),
    )


def counts(items: Iterable[Judged], by: str) -> dict[str, Counter[str]]:
    """Claims per verdict for each source or kind: `by` is "source" or "kind"."""
    table: dict[str, Counter[str]] = {}
    for item in items:
        row = item.source.id if by == "source" else item.claim.kind
        table.setdefault(row, Counter())[item.verdict] += 1
    return dict(sorted(table.items()))


def verdicts_present(items: Iterable[Judged]) -> list[str]:
    """The verdicts that occur, the gravest first."""
    found = {item.verdict for item in items}
    return [verdict for verdict in ORDER if verdict in found]


def as_data(item: Judged) -> dict[str, Any]:
    """A judged claim as JSON-ready data; the registry's own expectation is left out."""
    claim = item.claim.model_dump(mode="json", exclude={"expected", "check"})
    data: dict[str, Any] = {
        "source": item.source.id,
        **claim,
        "verdict": item.verdict,
        "reason": item.reason,
        "factor": item.factor,
        "check": asdict(item.check) if item.check else None,
        "runs": [asdict(run) for run in item.runs],
    }
    return data
