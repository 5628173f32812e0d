"""Compare scaling laws on the same records and the same scale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

from numpy.typing import ArrayLike

from inferometer.stats.amdahl import LackOfFit, aicc, fit_law, lack_of_fit, r_squared
from inferometer.stats.result import Result
from inferometer.stats.scaling_laws import LAWS
from inferometer.stats.scaling_records import scaling_records


@dataclass(frozen=True, repr=False)
class LawRow(Result):
    """One law of the comparison; `k` counts its parameters, the intercepts and sigma."""

    law: str
    parameters: dict[str, float]
    k: int
    rss: float
    r2: float | None
    aicc: float | None
    delta: float | None
    weight: float | None
    lack_of_fit: LackOfFit
    reason: str | None = None


@dataclass(frozen=True, repr=False)
class LawTable(Result):
    """Laws ordered by AICc; `tied` names those within 2 of the best, which the data do not part."""

    rows: tuple[LawRow, ...]
    best: str | None
    tied: tuple[str, ...]
    n_records: int
    n_blocks: int | None
    reason: str | None = None


def select(
    n: ArrayLike,
    x: ArrayLike,
    block: Iterable[Any] | None = None,
    laws: Sequence[str] = ("linear", "amdahl", "usl", "power", "exponential"),
) -> LawTable:
    """Compare scaling laws by AICc on per-agent throughput, all on the log scale.

    Parameters
    ----------
    n, x, block : as in `fit_amdahl`: agents, throughput per agent, block of each record.
    laws : "linear" (no loss), "amdahl", "usl", "power" (``N^-e``), "exponential"
        (``exp(-r(N-1))``).

    Returns
    -------
    LawTable
        AICc is None (refused) where ``records - k - 1 <= 0`` or the fit is exact. A best law can
        still be wrong: see its `lack_of_fit`.

    Raises
    ------
    ValueError
        Bad input; an unknown law.

    Notes
    -----
    Hurvich and Tsai (1989), Biometrika 76, 297-307; weights: Burnham and Anderson (2002), sec. 2.9.
    """
    unknown = [name for name in laws if name not in LAWS]
    if unknown or not laws:
        raise ValueError(f"laws: must be among {', '.join(LAWS)}; got {', '.join(unknown) or '-'}")
    records = scaling_records(n, x, block)
    fits = [fit_law(LAWS[name], records) for name in dict.fromkeys(laws)]
    scores = [aicc(fit) for fit in fits]
    usable = [score for score in scores if score is not None]
    least = min(usable, default=None)
    weights = sum(exp(-(score - least) / 2) for score in usable) if least is not None else 0.0
    rows = []
    for fit, score in zip(fits, scores, strict=True):
        delta = None if score is None or least is None else score - least
        rows.append(
            LawRow(
                law=fit.law.name,
                parameters=dict(zip(fit.law.parameters, map(float, fit.theta), strict=True)),
                k=fit.theta.size + records.blocks + 1,
                rss=fit.rss,
                r2=r_squared(fit),
                aicc=score,
                delta=delta,
                weight=None if delta is None else exp(-delta / 2) / weights,
                lack_of_fit=lack_of_fit(fit),
                reason=None if score is not None else "AICc refused: too few records or exact fit",
            )
        )
    rows.sort(key=lambda row: (row.aicc is None, row.aicc))
    return LawTable(
        rows=tuple(rows),
        best=rows[0].law if least is not None else None,
        tied=tuple(row.law for row in rows[1:] if row.delta is not None and row.delta <= 2),
        n_records=records.size,
        n_blocks=records.blocks if records.declared_blocks else None,
        reason=None if least is not None else "no law can be scored on these records",
    )
