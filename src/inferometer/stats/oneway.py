"""One-way analysis of variance, classical and Welch's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from inferometer.stats import inputs
from inferometer.stats.inputs import Floats
from inferometer.stats.result import Result


@dataclass(frozen=True, repr=False)
class Anova(Result):
    """One-way analysis of variance with its classical and its Welch form."""

    F: float
    df: tuple[int, int]
    p: float
    eta2: float
    omega2: float
    welch_F: float | None
    welch_df2: float | None
    welch_p: float | None
    reason: str | None = None


def anova(groups: Sequence[ArrayLike] | Mapping[Any, ArrayLike]) -> Anova:
    """Test whether several groups share one mean, with and without equal variances.

    Parameters
    ----------
    groups : two or more groups of block values, as a sequence or a mapping.

    Returns
    -------
    Anova
        `eta2` is the share of variance between groups, `omega2` the same corrected for chance
        (it can be slightly negative). The Welch fields are None when a group has fewer than
        2 values or no variance.

    Raises
    ------
    ValueError
        Fewer than 2 groups, no residual degree of freedom, or no variance inside any group.

    Notes
    -----
    Welch (1951), Biometrika 38, 330-336. Hays (1963) for omega squared.
    """
    data = inputs.groups("groups", groups)
    total = sum(group.size for group in data)
    if total - len(data) < 1:
        raise ValueError("groups: need more values than groups")
    if all(inputs.constant(group) for group in data):
        raise ValueError("groups: no variance inside any group, so F is undefined")
    centre = float(np.concatenate(data).mean())
    data = [group - centre for group in data]
    grand = float(np.concatenate(data).mean())
    between = sum(group.size * (float(group.mean()) - grand) ** 2 for group in data)
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in data)
    df = len(data) - 1, total - len(data)
    mean_square = within / df[1]
    f = between / df[0] / mean_square
    welch_fields, reason = _welch_anova(data)
    return Anova(
        F=f,
        df=df,
        p=float(stats.f.sf(f, *df)),
        eta2=between / (between + within),
        omega2=(between - df[0] * mean_square) / (between + within + mean_square),
        **welch_fields,
        reason=reason,
    )


def _welch_anova(data: list[Floats]) -> tuple[dict[str, Any], str | None]:
    if any(group.size < 2 or inputs.constant(group) for group in data):
        empty = {"welch_F": None, "welch_df2": None, "welch_p": None}
        return empty, "Welch's form needs 2 or more differing values in every group"
    from statsmodels.stats.oneway import anova_oneway

    fit = anova_oneway(data, use_var="unequal", welch_correction=True)
    return {
        "welch_F": float(fit.statistic),
        "welch_df2": float(fit.df[1]),
        "welch_p": float(fit.pvalue),
    }, None
