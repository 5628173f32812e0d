"""Validate predictors on configurations that they have not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inferometer.stats import inputs
from inferometer.stats.result import Result


@dataclass(frozen=True, repr=False)
class Holdout(Result):
    """Errors of predictions on held-out records.

    `rmse`, `mae` and `bias` (prediction minus truth) in the unit of y; `mape` a fraction, not a
    percentage. `r2` compares with the held-out mean, `r2_oos` with the mean of the training data.
    """

    rmse: float
    mae: float
    bias: float
    mape: float | None
    r2: float | None
    r2_oos: float | None
    n: int
    reason: str | None = None


def holdout(y_true: ArrayLike, y_pred: ArrayLike, train_mean: float | None = None) -> Holdout:
    """Score predictions of held-out records.

    Parameters
    ----------
    y_true, y_pred : truth and prediction, equal lengths, same unit.
    train_mean : mean of y in the training data, for `r2_oos`.

    Returns
    -------
    Holdout
        `mape` is None when a truth is 0; `r2` when the truths are all equal; `r2_oos` without a
        training mean or when every truth equals it.

    Raises
    ------
    ValueError
        Empty, non-finite or unequal input.

    Notes
    -----
    Out-of-sample R2: Campbell and Thompson (2008), Rev. Financ. Stud. 21, 1509-1531, eq. 1.
    """
    truth, guess = inputs.sample("y_true", y_true), inputs.sample("y_pred", y_pred)
    inputs.same_length(y_true=truth, y_pred=guess)
    miss = guess - truth
    squares, reasons = float((miss**2).sum()), []
    mape = r2 = r2_oos = None
    if (truth == 0).any():
        reasons.append("mape: a true value is 0")
    else:
        mape = float(np.abs(miss / truth).mean())
    if inputs.constant(truth):
        reasons.append("r2: all true values are equal")
    else:
        r2 = 1 - squares / float(((truth - truth.mean()) ** 2).sum())
    if train_mean is not None:
        base = float(((truth - inputs.number("train_mean", train_mean)) ** 2).sum())
        r2_oos = 1 - squares / base if base > 0 else None
    if r2_oos is None:
        reasons.append("r2_oos: no training mean that differs from the true values")
    return Holdout(
        rmse=sqrt(squares / truth.size),
        mae=float(np.abs(miss).mean()),
        bias=float(miss.mean()),
        mape=mape,
        r2=r2,
        r2_oos=r2_oos,
        n=truth.size,
        reason="; ".join(reasons) or None,
    )


def leave_one_out(
    configurations: Sequence[Any],
) -> Iterator[tuple[Any, NDArray[np.intp], NDArray[np.intp]]]:
    """Yield (configuration, training rows, held-out rows), leaving out one whole configuration.

    Parameters
    ----------
    configurations : the model, N or machine of each row; at least two different ones.

    Raises
    ------
    ValueError
        Fewer than two different configurations.

    Notes
    -----
    Splitting rows instead would let a predictor see the configuration that it is scored on:
    Roberts et al. (2017), Ecography 40, 913-929.
    """
    labels = list(configurations)
    names = list(dict.fromkeys(labels))
    if len(names) < 2:
        raise ValueError("configurations: needs at least 2 different ones to leave one out")
    codes = np.array([names.index(label) for label in labels])
    return (
        (n, np.flatnonzero(codes != i), np.flatnonzero(codes == i)) for i, n in enumerate(names)
    )
