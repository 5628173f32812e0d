"""TR124: at a temperature above 0, how much of a score's variance is the dice's?"""

import pandas as pd

from inferometer.analysis import Ledger
from inferometer.quality import entries, variance
from inferometer.quality.variance import SamplingNoise


def enter(ledger: Ledger, table, suts, margin: float) -> None:  # type: ignore[no-untyped-def]
    """Enter the variance components of the composite of every SUT that was sampled."""
    for sut in table.having(suts, "sampled"):
        where = table.scores(sut, "sampled")
        scores = _repeated(entries.selected(ledger, where))
        if len(scores) >= 2:
            _components(ledger, sut, variance.sampling_noise(scores), where, margin)


def _repeated(rows: pd.DataFrame) -> dict[str, list[float]]:
    """Item -> its composite in each repetition that has one."""
    scores: dict[str, list[float]] = {}
    for _, group in rows.groupby("repetition"):
        for one in entries.composite(group):
            if one.value is not None:
                scores.setdefault(one.item, []).append(one.value)
    return scores


def _components(ledger: Ledger, sut: str, seen: SamplingNoise, where, margin: float) -> None:  # type: ignore[no-untyped-def]
    shared = {"n": seen.items, "n_of": "items", "where": where}
    how = "analysis of variance over items, BCa over items"
    for key, title, value, ci in (
        ("between", "variance between items", seen.between, seen.between_ci),
        ("within", "variance between repetitions of an item", seen.within, seen.within_ci),
        ("within_share", "share of the variance between repetitions", *_share(seen)),
    ):
        ledger.add(
            f"{sut}.sampling.{key}",
            f"{title}, composite of {sut}",
            value,
            ci=ci,
            estimator=how,
            no_interval=seen.reason,
            reason=seen.reason,
            notes=seen.caution,
            **shared,
        )
    ledger.add(
        f"{sut}.sampling.noise_of_mean",
        f"half-width that sampling alone gives the mean composite of {sut}",
        seen.noise_of_mean,
        estimator="z sqrt(within / scores)",
        no_interval="itself the width of an interval",
        reason=seen.reason,
        **shared,
    )
    _repetitions(ledger, sut, seen, margin, shared)


def _repetitions(ledger: Ledger, sut: str, seen: SamplingNoise, margin: float, shared) -> None:  # type: ignore[no-untyped-def]
    wanted = variance.repetitions_for(seen, margin)
    high = wanted.needed_high
    ledger.add(
        f"{sut}.sampling.repetitions",
        f"repetitions at which sampling moves the mean composite by less than {margin:g}",
        wanted.needed,
        estimator="the least r with z sqrt(within / (items r)) within the margin",
        no_interval="a count to plan with",
        reason=wanted.reason,
        notes=f"{high} at the upper end of the variance within items" if high else None,
        **shared,
    )


def _share(seen: SamplingNoise) -> tuple:
    return seen.within_share, seen.within_share_ci
