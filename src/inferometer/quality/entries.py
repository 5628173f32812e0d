"""Scores of items out of observations, and how they become findings; items are the units.

Quality cells record a row of the kind `score` for each metric of each answer: `task`, `item`,
`repetition`, `metric`, `value` (none where `status` says why), and `cluster` where items share a
subject. A `where` selects such rows; ids of items are unique in their task.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from inferometer.analysis import Ledger, Where, select
from inferometer.quality import paired
from inferometer.quality.paired import ItemScore, PairedAccuracy, PairedScores
from inferometer.quality.pairs import WRONG, in_common
from inferometer.stats import intervals, proportions
from inferometer.stats.tost_result import ALPHA

ZERO_ONE = ("accuracy", "accuracy_by_length", "exact_match", "contains_reference", "checks_passed")
"""Metrics of which an item has 0 or 1, whose differences are in percentage points."""
COMPOSED = ("rouge_l", "bleu", "bertscore_f1", "coherence", "token_f1")
"""Metrics of the composite, by what their names begin with, beside `ZERO_ONE`; length and
repetition are no degrees of good."""
N_OF = "items"


def scores(rows: pd.DataFrame) -> list[ItemScore]:
    """One score an item, of rows of one SUT, metric and repetition.

    Raises ValueError (in `paired`) where an item is there twice.
    """
    clusters = rows["cluster"] if "cluster" in rows else pd.Series(None, index=rows.index)
    return [
        ItemScore(
            f"{task}/{item}",
            None if pd.isna(value) else float(value),
            status,
            None if pd.isna(cluster) else str(cluster),
        )
        for task, item, value, status, cluster in zip(
            rows["task"], rows["item"], rows["value"], rows["status"], clusters, strict=True
        )
    ]


def composed(metric: str) -> bool:
    """Whether a metric is part of the composite."""
    return metric.startswith(COMPOSED) or metric in ZERO_ONE


def composite(rows: pd.DataFrame) -> list[ItemScore]:
    """Unweighted mean of an item's metrics that are `composed` and have a value.

    None where no metric of the item has one. Rows are of one SUT and repetition, any metrics.
    """
    found = []
    chosen = rows[[composed(metric) for metric in rows["metric"]]] if len(rows) else rows
    for (task, item), group in chosen.groupby(["task", "item"], sort=False):
        values = group["value"].dropna()
        mean = float(values.mean()) if len(values) else None
        found.append(ItemScore(f"{task}/{item}", mean, "ok" if len(values) else "undefined"))
    return found


def enter_mean(
    ledger: Ledger,
    name: str,
    title: str,
    found: Sequence[ItemScore],
    where: Where,
    *,
    zero_one: bool,
    notes: str | None = None,
) -> None:
    """Enter a SUT's mean over items: Wilson's interval of a rate, BCa (t below 30 items) of others.

    Invalid and empty answers of a 0/1 metric are wrong, as in `paired`, and counted in the notes.
    """
    values, said = _counted(found, zero_one)
    shared: dict[str, Any] = {"n": int(values.size), "n_of": N_OF, "where": where}
    shared["notes"] = "; ".join(filter(None, [*said, notes])) or None
    if not values.size:
        reason = "no item has a value" if found else "nothing was scored"
        ledger.add(name, title, None, estimator="mean over items", reason=reason, **shared)
        return
    mean = float(values.mean())
    if zero_one:
        rate = proportions.wilson(int(values.sum()), values.size)
        ledger.add(
            name,
            title,
            mean,
            ci=(rate.low, rate.high),
            estimator="share of items, Wilson",
            **shared,
        )
        return
    enough = values.size >= intervals.FEWEST_FOR_BCA
    seen = intervals.bca(values) if enough else intervals.mean_of_blocks(values)
    how = f"mean over items, {'BCa bootstrap' if enough else 't interval'}"
    ledger.add(name, title, mean, ci=seen.ci, no_interval=seen.reason, estimator=how, **shared)


def _counted(found: Sequence[ItemScore], zero_one: bool) -> tuple[Any, list[str]]:
    """The values to be averaged, and what is to be said of the others."""
    wrong = [zero_one and one.status in WRONG for one in found]
    kept = [0.0 if bad else one.value for one, bad in zip(found, wrong, strict=True)]
    values = np.array([value for value in kept if value is not None], dtype=float)
    lost = len(found) - values.size
    said = [f"{sum(wrong)} invalid or empty"] if any(wrong) else []
    return values, [*said, f"{lost} items without a value"] if lost else said


def enter_difference(
    ledger: Ledger,
    name: str,
    title: str,
    a: Sequence[ItemScore],
    b: Sequence[ItemScore],
    where: Where,
    *,
    margin: float,
    zero_one: bool,
    confidence: float = 0.95,
) -> PairedAccuracy | PairedScores | None:
    """Enter `a` minus `b` on the same items, with the interval of `paired`; returns its tests.

    Nothing is entered, and None returned, where no item has a score on both sides.

    `margin` is the half-width of equivalence: percentage points for a 0/1 metric, else the unit of
    the metric. `where` selects the rows of both SUTs. `confidence` is that of the interval: above
    .95 where several hold together.
    """
    if not in_common(a, b, zero_one):
        return None
    said: dict[str, Any] = {"confidence": confidence, "n_of": N_OF, "where": where}
    seen: PairedAccuracy | PairedScores
    if zero_one:
        seen = paired.compare_accuracy(a, b, margin, confidence)
        value, what = seen.difference_pp, "difference of rates"
        said |= {"unit": "pp", "ci": seen.ci_pp}
    else:
        seen = paired.compare_scores(a, b, -margin, margin, confidence)
        value, what = seen.difference, "mean difference"
        said |= {"ci": seen.ci, "no_interval": seen.reason}
    said["estimator"] = f"quality.paired: {what} on the same items, {seen.method}"
    ledger.add(name, title, value, n=seen.n, notes=_sides(seen), **said)
    return seen


def equivalent(
    seen: PairedAccuracy | PairedScores, margin: float
) -> tuple[bool | None, float | None]:
    """(whether equivalence within `margin` is shown, its p); None where there are too few items.

    Items that are all equal have no spread to test by. Scores being from 0 to 1, a mean that
    differs by the margin takes a share of at least `margin` of items that differ: p is then the
    chance to meet none of them, ``(1 - margin)^n``.
    """
    if isinstance(seen, PairedScores) and seen.identical:
        p = (1 - margin) ** seen.n
        return p < ALPHA, p
    return (seen.equivalence.equivalent, seen.equivalence.p) if seen.equivalence else (None, None)


def _sides(seen: PairedAccuracy | PairedScores) -> str | None:
    said = [seen.caution] if seen.caution else []
    for which, side in (("first", seen.a), ("second", seen.b)):
        if side.invalid or side.empty:
            said.append(f"{which}: {side.invalid} invalid, {side.empty} empty")
        if side.missing:
            said.append(f"{which}: {len(side.missing)} items without a value, left out of both")
    return "; ".join(said) or None


def selected(ledger: Ledger, where: Where) -> pd.DataFrame:
    """The rows that a finding is from; none where a column of `where` was never recorded."""
    if missing := set(where) - set(ledger.observations.columns):
        return ledger.observations.iloc[:0].assign(**dict.fromkeys(missing))
    return select(ledger.observations, where)


def unavailable(ledger: Ledger) -> list[str]:
    """Metrics that could not be had on this machine, in words."""
    lost = selected(ledger, {"kind": "score", "status": "not testable here"})
    if lost.empty:
        return []
    said = sorted(set(zip(lost["metric"], lost["reason"], strict=True)))
    return [f"`{metric}` has no value: `{reason}`" for metric, reason in said]


def enter_share(
    ledger: Ledger,
    name: str,
    title: str,
    held: int,
    of: int,
    where: Where,
    *,
    reason: str,
    notes: str | None = None,
) -> None:
    """Enter a share of items with Wilson's interval; `reason` is said where there is none."""
    shared: dict[str, Any] = {"n": of, "n_of": N_OF, "where": where, "notes": notes}
    shared["estimator"] = "share of items, Wilson"
    if not of:
        ledger.add(name, title, None, reason=reason, **shared)
        return
    rate = proportions.wilson(held, of)
    ledger.add(name, title, held / of, ci=(rate.low, rate.high), **shared)


def enter_texts(ledger: Ledger, prefix: str, rows: pd.DataFrame, where: Where) -> None:
    """Enter what a SUT makes of every token of the project's texts, from its `text` rows.

    `<prefix>.perplexity`; and against its reference `.perplexity_ratio` (exp of the mean over texts
    of the difference in negative log-likelihood per token), `.kl` (mean over texts, nats a token)
    and `.same_top` (share of tokens with the same most likely one). Texts are the units; those
    without a value are left out, and what no text has is not entered.
    """
    tokens = _column(rows, "tokens")
    own = _column(rows, "nll") / tokens
    worse = own - _column(rows, "reference_nll") / tokens
    for key, title, logs in (
        ("perplexity", "perplexity of the project's texts", own),
        ("perplexity_ratio", "perplexity over that of the reference, same texts", worse),
    ):
        _over_texts(ledger, f"{prefix}.{key}", title, logs, where, logs=True)
    title = "divergence from the reference's next-token distribution"
    kl = _column(rows, "kl") / tokens
    _over_texts(ledger, f"{prefix}.kl", title, kl, where, unit="nats/token")
    title = "share of tokens with the same most likely one"
    top = _column(rows, "same_top") / tokens
    _over_texts(ledger, f"{prefix}.same_top", title, top, where, high=1.0)


def _column(rows: pd.DataFrame, name: str) -> pd.Series:
    """A number of each text; missing ones where it was never recorded."""
    return rows[name].astype(float) if name in rows else pd.Series(np.nan, index=rows.index)


def _over_texts(
    ledger: Ledger,
    name: str,
    title: str,
    values: pd.Series,
    where: Where,
    *,
    unit: str = "",
    logs: bool = False,
    high: float = np.inf,
) -> None:
    """Enter a mean over texts (its exp where values are `logs`), cut at what is possible."""
    data = values.dropna().to_numpy(float)
    if not data.size:
        return
    enough = data.size >= intervals.FEWEST_FOR_BCA
    seen = intervals.bca(data) if enough else intervals.mean_of_blocks(data)
    how = f"mean over texts, {'BCa bootstrap' if enough else 't interval'}"
    mean, ends = float(data.mean()), seen.ci
    if logs:
        mean, how = float(np.exp(mean)), f"exp of the {how}"
        ends = (float(np.exp(ends[0])), float(np.exp(ends[1]))) if ends else None
    elif ends:
        ends = (max(ends[0], 0.0), min(ends[1], high))
    lost = len(values) - data.size
    said: dict[str, Any] = {"unit": unit, "estimator": how, "no_interval": seen.reason}
    said["notes"] = f"{lost} texts without a value" if lost else None
    ledger.add(name, title, mean, ci=ends, n=int(data.size), n_of="texts", where=where, **said)
