"""A/A: pairs of identical servers, so every difference found is an error of the method.

The test of pair i takes the spread of log(A/B) from the other pairs: under equality its p-value
is uniform, and its interval covers a ratio of 1. The naive test pools the requests of the pair.
"""

import numpy as np
import pandas as pd
from scipy import stats

from inferometer.analysis import Analysis, Judgement, Ledger, judge
from inferometer.design import Hypothesis
from inferometer.experiments import Experiment
from inferometer.load import summary
from inferometer.reporting import figures as house
from inferometer.reporting.context import ValidityRow
from inferometer.stats import blocks, compare, equivalence, intervals, power, proportions

CONFIDENCE = 0.95
WORDS = {"one": 1, "four": 4}
BLOCKS_OF_A_REPORT = 7


def analyse(ledger: Ledger, experiment: Experiment, depth: str) -> Analysis:
    """Per N: the pairs' p-values and intervals, ICC, and what the machine can tell apart."""
    table = summary.cells(ledger.observations, ["agents", "think_ms"])
    pairs = {}
    for n in sorted(int(level) for level in table["agents"].unique()):
        both = table[table["agents"] == n].pivot_table(
            index="block", columns="sut", values="throughput"
        )
        pairs[n] = both.dropna()
        _equality(ledger, n, pairs[n])
        _calibration(ledger, n, pairs[n])
        _replication(ledger, n, table)
    _smallest(ledger, pairs)
    verdicts = (
        judge(experiment.design.hypotheses, _tests(ledger, pairs)) if depth != "quick" else []
    )
    return Analysis(verdicts=verdicts, figures=_figures(ledger, pairs), validity=_validity(ledger))


def pair_test(pair: pd.DataFrame) -> pd.DataFrame:
    """p and interval of each pair's ratio, the spread taken from the other pairs."""
    gaps = np.log(pair["a"] / pair["b"]).to_numpy()
    rows = []
    for index, gap in enumerate(gaps):
        rest = np.delete(gaps, index)
        # identical by design: the spread about 0 has as many degrees of freedom as pairs
        spread = np.sqrt(np.mean(rest**2))
        reach = stats.t.ppf((1 + CONFIDENCE) / 2, len(rest)) * spread
        p = 2 * stats.t.sf(abs(gap) / spread, len(rest))
        rows.append((np.exp(gap), p, np.exp(gap - reach), np.exp(gap + reach)))
    return pd.DataFrame(rows, columns=["ratio", "p", "low", "high"], index=pair.index)


def naive_p(observations: pd.DataFrame, n: int) -> list[float]:
    """p of Welch's test on the pooled request latencies of each pair, as is often done."""
    timed = summary.timings(observations)
    timed = timed[timed["agents"] == n]
    found = []
    for _, group in timed.groupby("block"):
        a, b = (group[group["sut"] == sut]["latency_s"] for sut in ("a", "b"))
        if len(a) > 1 and len(b) > 1:
            p = compare.welch(a, b).p
            if p is not None:
                found.append(p)
    return found


def _where(n: int) -> dict:
    return {"agents": n, "cell_valid": True}


def _equality(ledger: Ledger, n: int, pair: pd.DataFrame) -> None:
    seen = compare.ratio(pair["a"], pair["b"], paired=True)
    ledger.add(
        f"ratio.n{n}",
        f"total of A over that of B, N = {n}",
        seen.ratio,
        ci=seen.ci,
        n=len(pair),
        n_of="pairs",
        where=_where(n),
        no_interval=seen.reason,
        estimator="compare.ratio, paired: geometric mean, t interval on logs",
    )
    ledger.add(
        f"ratio_p.n{n}",
        f"p of the difference between A and B, N = {n}",
        seen.p,
        n=len(pair),
        n_of="pairs",
        where=_where(n),
        no_interval="a p-value",
        estimator="compare.ratio, paired",
        reason=seen.reason,
    )


def _calibration(ledger: Ledger, n: int, pair: pd.DataFrame) -> None:
    if len(pair) < 3:
        return
    tested = pair_test(pair)
    shared = {"n": len(pair), "n_of": "pairs", "where": _where(n)}
    uniform = stats.kstest(tested["p"], "uniform").pvalue
    ledger.add(
        f"uniform_p.n{n}",
        f"p of the uniformity of the pairs' p-values, N = {n}",
        uniform,
        no_interval="a p-value",
        estimator="Kolmogorov-Smirnov against uniform",
        **shared,
    )
    inside = int(((tested["low"] <= 1) & (tested["high"] >= 1)).sum())
    ci = proportions.wilson(inside, len(pair))
    ledger.add(
        f"coverage.n{n}",
        f"share of the pairs' 95 % intervals that cover 1, N = {n}",
        inside / len(pair),
        ci=(ci.low, ci.high),
        estimator="proportions.wilson",
        **shared,
    )
    naive = naive_p(ledger.observations, n)
    if naive:
        rejected = sum(p < 0.05 for p in naive)
        ci = proportions.wilson(rejected, len(naive))
        ledger.add(
            f"naive_rejections.n{n}",
            f"share of pairs that pooled requests would call different at 5 %, N = {n}",
            rejected / len(naive),
            ci=(ci.low, ci.high),
            n=len(naive),
            n_of="pairs",
            where=_where(n),
            estimator="compare.welch on pooled latencies; proportions.wilson",
        )


def _replication(ledger: Ledger, n: int, table: pd.DataFrame) -> None:
    values = table[table["agents"] == n]["throughput"]
    ledger.add(
        f"block_cv.n{n}",
        f"spread of the total between blocks, N = {n}",
        intervals.mean_of_blocks(values).cv,
        n=len(values),
        where=_where(n),
        no_interval="a spread, given to judge the intervals by",
        estimator="standard deviation over mean of block values",
    )
    timed = summary.timings(ledger.observations)
    timed = timed[timed["agents"] == n]
    grouped = [g["latency_s"].to_numpy() for _, g in timed.groupby(["sut", "block"])]
    seen = blocks.variance_components(grouped)
    for name, value, title in (
        ("icc", seen.icc, "intraclass correlation of request latencies"),
        ("design_effect", seen.design_effect, "design effect of requests"),
    ):
        ledger.add(
            f"{name}.n{n}",
            f"{title}, N = {n}",
            value,
            n=len(grouped),
            where=_where(n),
            no_interval="a variance ratio, given to judge the intervals by",
            reason=seen.reason,
            estimator="blocks.variance_components",
        )


def _smallest(ledger: Ledger, pairs: dict[int, pd.DataFrame]) -> None:
    """The smallest difference that a report of 7 blocks a SUT can show at the worse N."""
    spreads = {n: float(ledger.findings[f"block_cv.n{n}"].value or 0.0) for n in pairs}
    worst = max(spreads, key=lambda n: spreads[n])
    seen = (
        power.minimum_detectable(BLOCKS_OF_A_REPORT, cv=spreads[worst]) if spreads[worst] else None
    )
    value = None if seen is None or seen.ratio is None else seen.ratio - 1
    ledger.add(
        "smallest_difference",
        "smallest relative difference that seven blocks a SUT show with power .8",
        value,
        n=2 * len(pairs[worst]),
        where=_where(worst),
        no_interval="a property of the design at the measured spread",
        reason="the blocks do not differ, or there are too few",
        estimator=f"power.minimum_detectable at the spread of N = {worst}, the larger one",
    )


def _tests(ledger: Ledger, pairs: dict[int, pd.DataFrame]) -> dict:
    """The tests that design.yaml names; a hypothesis says its N in words."""

    def same(hypothesis: Hypothesis) -> Judgement:
        n = _n_of(hypothesis)
        margin = hypothesis.margin or 0.05
        seen = equivalence.tost_paired(
            pairs[n]["a"], pairs[n]["b"], 1 / (1 + margin), 1 + margin, scale="ratio"
        )
        text = f"[[ratio.n{n}]]"
        if seen.equivalent:
            return Judgement("supported", text, [f"ratio.n{n}"], seen.p)
        return Judgement(
            "inconclusive", f"the interval crosses the margin: {text}", [f"ratio.n{n}"], seen.p
        )

    def uniform(hypothesis: Hypothesis) -> Judgement:
        name = f"uniform_p.n{_n_of(hypothesis)}"
        p = float(ledger.findings[name].value or 0.0)
        if p < hypothesis.alpha:
            return Judgement("refuted", f"uniformity is rejected, p = [[{name}]]", [name])
        return Judgement("inconclusive", f"nothing speaks against it, p = [[{name}]]", [name])

    def covered(hypothesis: Hypothesis) -> Judgement:
        name = f"coverage.n{_n_of(hypothesis)}"
        found = ledger.findings[name].interval
        if found is None or found.low is None or found.high is None:
            return Judgement("inconclusive", "no interval", [name])
        if found.low <= CONFIDENCE <= found.high:
            return Judgement("inconclusive", f"[[{name}]] is compatible with the promise", [name])
        return Judgement("refuted", f"[[{name}]] does not contain the promise", [name])

    return {"same": same, "uniform": uniform, "covered": covered}


def _n_of(hypothesis: Hypothesis) -> int:
    return next(n for word, n in WORDS.items() if f"With {word} agent" in hypothesis.statement)


def _figures(ledger: Ledger, pairs: dict[int, pd.DataFrame]) -> dict:
    with house.style():
        return {"pairs": _pairs_figure(pairs), "p-values": _p_figure(ledger, pairs)}


def _pairs_figure(pairs: dict[int, pd.DataFrame]):  # type: ignore[no-untyped-def]
    figure, row = house.panels(
        [f"N = {n}" for n in pairs], "pair, in the order of measuring", "total of A over total of B"
    )
    for axes, (n, pair) in zip(row, pairs.items(), strict=True):
        if len(pair) < 3:
            continue
        tested = pair_test(pair)
        found = [house.Estimate(r.ratio, r.low, r.high) for r in tested.itertuples(index=False)]
        house.points(axes, list(pair.index + 1), found, f"pairs, N = {n}", list(pairs).index(n))
        axes.axhline(1, color="#555555", linewidth=1, linestyle=":")
    return figure


def _p_figure(ledger: Ledger, pairs: dict[int, pd.DataFrame]):  # type: ignore[no-untyped-def]
    figure, row = house.panels([f"N = {n}" for n in pairs], "p-value", "share of pairs at or below")
    for axes, (n, pair) in zip(row, pairs.items(), strict=True):
        series = {"pooled requests (naive)": naive_p(ledger.observations, n)}
        if len(pair) >= 3:
            series = {"pairs as replicates": list(pair_test(pair)["p"])} | series
        for index, (label, values) in enumerate(series.items()):
            ordered = [0.0, *sorted(values), 1.0]
            shares = [0.0, *(np.arange(1, len(values) + 1) / len(values)), 1.0]
            axes.step(ordered, shares, where="post", color=house.PALETTE[index], label=label)
        axes.plot([0, 1], [0, 1], ":", color="#555555", label="uniform")
    house.legend(row[0], columns=3)
    return figure


def _validity(ledger: Ledger) -> list[ValidityRow]:
    sessions = ledger.observations.drop_duplicates("session")
    share = sessions["session_cells_s"].sum() / sessions["session_wall_s"].sum()
    title = "share of the sessions' wall time inside measured cells"
    ledger.add(
        "inside_cells",
        title,
        share,
        n=len(sessions),
        n_of="sessions",
        where={},
        estimator="total over total",
        no_interval="a property of these sessions, not an estimate",
    )
    return [ValidityRow(label=title, finding="inside_cells")]
