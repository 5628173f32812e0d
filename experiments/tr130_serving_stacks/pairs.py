"""TR130: SUTs against each other at each N: ratios, ranking, sameness, crossovers."""

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from inferometer import entries, routing
from inferometer.analysis import Ledger, Where
from inferometer.scaling import Cells
from inferometer.stats import compare, equivalence
from inferometer.stats.crossover import crossover

ALPHA = 0.05
RATIO = "compare.ratio: geometric means over blocks, Welch on logs, Bonferroni over the pairs"
DIFFERENT = "compare.ratio: Welch on logs; compare.holm over the pairs at this N"
SAME = "equivalence.tost on the ratio; compare.holm over the pairs at this N"
RANKING = "means over blocks; > told apart after Holm, ~ not told apart (which is not sameness)"
CROSSOVER = "stats.crossover: totals interpolated log-log, Welch's interval inverted over N"


@dataclass
class Level:
    """The SUTs that were measured at one N, and what the names of their findings end in."""

    ledger: Ledger
    arms: list[Cells]
    n: int
    tag: str

    @classmethod
    def of(
        cls, ledger: Ledger, arms: dict[str, Cells], n: int, workload: str | None = None
    ) -> "Level":
        """The arms that have cells at N."""
        there = [arm for arm in arms.values() if n in arm.levels]
        return cls(ledger, there, n, routing.tag(workload, n))

    def pairs(self, column: str) -> list[tuple[Cells, Cells]]:
        """Pairs of SUTs with values above 0 which are not all the same."""
        found = combinations(self.arms, 2)
        return [pair for pair in found if comparable(*(arm.at(self.n, column) for arm in pair))]

    def ratios(self, column: str, name: str, what: str) -> dict[tuple[str, str], float]:
        """Enter every pair's ratio with a simultaneous interval; p by pair, where there is one."""
        pairs, tested = self.pairs(column), {}
        confidence = 1 - ALPHA / max(len(pairs), 1)
        for a, b in pairs:
            seen = compare.ratio(a.at(self.n, column), b.at(self.n, column), confidence)
            self.ledger.add(
                f"{name}.{a.sut}.{b.sut}.{self.tag}",
                f"{what} of {a.sut} over that of {b.sut} at {self.tag}",
                seen.ratio,
                ci=seen.ci,
                confidence=confidence,
                n=min(seen.n_a, seen.n_b),
                no_interval=seen.reason,
                where=both(a, b, self.n),
                estimator=RATIO,
            )
            if seen.p is not None:
                tested[a.sut, b.sut] = seen.p
        return tested

    def ranking(self, phase: str, tested: dict[tuple[str, str], float]) -> None:
        """Enter Holm's p of every pair, and the SUTs by falling total."""
        adjusted = _holm(tested)
        for a, b in combinations(self.arms, 2):
            title = f"adjusted p of different totals of {a.sut} and {b.sut} at {self.tag}"
            name, p = f"p.{a.sut}.{b.sut}.{self.tag}", adjusted.get((a.sut, b.sut))
            self._test(name, title, p, a, b, DIFFERENT)
        means = {arm.sut: float(arm.at(self.n, "throughput").mean()) for arm in self.arms}
        order = sorted(means, key=lambda sut: -means[sut])
        text = order[0]
        for one, two in pairwise(order):
            p = adjusted.get((one, two), adjusted.get((two, one)))
            text += f" {'>' if p is not None and p <= ALPHA else '~'} {two}"
        self.ledger.add(
            f"ranking.{phase}.{self.tag}",
            f"SUTs by falling total at {self.tag}",
            text,
            n=min(len(arm.at(self.n, "throughput")) for arm in self.arms),
            where=self.arms[0].rows(self.n) | {"sut": [arm.sut for arm in self.arms]},
            estimator=RANKING,
            no_interval="an order; the ratios of its pairs have intervals",
        )

    def sameness(self, margin: float) -> None:
        """Enter a TOST of every pair's totals within the margin; a family of its own."""
        seen = []
        for a, b in self.pairs("throughput"):
            values = (arm.at(self.n, "throughput") for arm in (a, b))
            found = equivalence.tost(*values, 1 / (1 + margin), 1 + margin, scale="ratio")
            seen.append((a, b, found))
        adjusted = _holm({(a.sut, b.sut): e.p for a, b, e in seen if e.p is not None})
        for a, b, found in seen:
            tag, names = f"{a.sut}.{b.sut}.{self.tag}", f"{a.sut} and {b.sut} at {self.tag}"
            title = f"adjusted p of totals that differ by the margin or more, {names}"
            self._test(f"same_p.{tag}", title, adjusted.get((a.sut, b.sut)), a, b, SAME)
            title = f"narrowest factor within which these totals could be shown the same, {names}"
            self._test(f"supported_margin.{tag}", title, found.supported, a, b, "equivalence.tost")

    def _test(
        self, name: str, title: str, value: float | None, a: Cells, b: Cells, how: str
    ) -> None:
        self.ledger.add(
            name,
            title,
            value,
            n=min(len(arm.at(self.n, "throughput")) for arm in (a, b)),
            where=both(a, b, self.n),
            estimator=how,
            no_interval="the result of a test",
            reason="fewer than 3 blocks on one side: no test",
        )


@dataclass(frozen=True)
class Pair:
    """A pair of SUTs by name, as `a` and `b` of their crossover."""

    a: str
    b: str
    levels: list[int]

    def leads(self, side: str | None) -> str:
        """The SUT that a side stands for."""
        return {"a": self.a, "b": self.b}.get(side or "", "neither")


def enter_level(ledger: Ledger, arms: dict[str, Cells], phase: str, n: int, margin: float) -> None:
    """Ratios of totals and of TTFT, the ranking, and tests of sameness at one N."""
    level = Level.of(ledger, arms, n)
    tested = level.ratios("throughput", "ratio", "total")
    level.ratios("ttft_s", "ttft_ratio", "time to first token")
    if len(level.arms) > 1:
        level.ranking(phase, tested)
        level.sameness(margin)


def enter_gains(ledger: Ledger, arms: dict[str, Cells], serial: str) -> None:
    """What each stack gains over the serial server: in total, and in time to first token."""
    if serial not in arms:
        return
    base = arms[serial]
    for sut, arm in arms.items():
        for n in sorted(set(arm.levels) & set(base.levels) if sut != serial else ()):
            where = both(arm, base, n)
            total = arm.at(n, "throughput"), base.at(n, "throughput")
            if comparable(*total):
                title = f"total of {sut} over that of {serial} at N = {n}"
                entries.ratio(ledger, f"gain.{sut}.n{n}", title, *total, where)
            wait = base.at(n, "ttft_s"), arm.at(n, "ttft_s")
            if comparable(*wait):
                title = f"time to first token of {serial} over that of {sut} at N = {n}"
                entries.ratio(ledger, f"ttft_gain.{sut}.n{n}", title, *wait, where)


def enter_crossovers(ledger: Ledger, arms: dict[str, Cells]) -> None:
    """Where the totals of every pair cross, as far as N was measured."""
    for a, b in combinations(arms.values(), 2):
        pair = Pair(a.sut, b.sut, sorted(set(a.levels) & set(b.levels)))
        curves = [_curves(arm, pair.levels) for arm in (a, b)]
        if len(pair.levels) > 1 and not any(curve.empty for curve in curves):
            _crossover(ledger, pair, curves, both(a, b, pair.levels))


def _crossover(ledger: Ledger, pair: Pair, curves: list[pd.DataFrame], where: Where) -> None:
    seen = crossover(pair.levels, *(curve.to_numpy() for curve in curves))
    first, last = pair.levels[0], pair.levels[-1]
    reason = seen.reason
    if seen.outcome == "none":
        reason = f"none within N = {first} to {last}: {pair.leads(seen.below)} leads throughout"
    ledger.add(
        f"crossover.{pair.a}.{pair.b}",
        f"N at which the totals of {pair.a} and {pair.b} cross",
        seen.estimate,
        ci=seen.ci if seen.estimate is not None else None,
        n=min(map(len, curves)),
        no_interval=reason or "no interval",
        reason=reason,
        notes=f"ahead beyond the interval at N = {first}: {pair.leads(seen.below)}; "
        f"at N = {last}: {pair.leads(seen.above)}",
        where=where,
        estimator=CROSSOVER,
    )


def comparable(a: pd.Series, b: pd.Series) -> bool:
    """Both have values above 0 which, where an error can be had, are not all the same."""
    sides = [side.to_numpy(dtype=float) for side in (a, b)]
    if any(side.size == 0 or (side <= 0).any() for side in sides):
        return False
    return min(map(len, sides)) < 3 or sum(float(np.ptp(side)) for side in sides) > 0


def both(a: Cells, b: Cells, agents: int | list[int] | None = None) -> Where:
    """What selects the observations of two arms."""
    return a.rows(agents) | {"sut": [a.sut, b.sut]}


def _curves(arm: Cells, levels: list[int]) -> pd.DataFrame:
    """Blocks x levels of the total; only blocks that have every level."""
    table = arm.cells.pivot_table(index="block", columns="agents", values="throughput")
    return table.reindex(columns=levels).dropna()


def _holm(tested: dict[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    if not tested:
        return {}
    return dict(zip(tested, compare.holm(list(tested.values())).p_adjusted, strict=True))
