"""One verdict per claim: its own arithmetic first, then what machines measured."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from inferometer.claims import judge, measured, registry
from inferometer.claims.judge import CheckResult
from inferometer.claims.measured import Results, Run
from inferometer.claims.registry import Constants, Entry, Registry
from inferometer.claims.schema import Claim, Source, VerdictKind
from inferometer.errors import UserError

ORDER: tuple[VerdictKind, ...] = (
    "impossible",
    "inconsistent",
    "contradicted",
    "inconclusive",
    "plausible",
    "consistent",
    "reproduced",
    "not testable here",
    "not judged",
)
"""Verdicts as reports list them: the gravest first."""

MEASURED: tuple[VerdictKind, ...] = ("contradicted", "reproduced", "inconclusive")


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict and everything that the verdict rests on."""

    claim: Claim
    source: Source
    verdict: VerdictKind
    reason: str
    check: CheckResult | None = None
    runs: tuple[Run, ...] = ()

    @property
    def factor(self) -> float | None:
        """By how much the claim is off, where its check says so."""
        return self.check.factor if self.check else None


@dataclass(frozen=True)
class Verdicts:
    """Every claim judged, with the constants used and the problems met on the way."""

    judged: list[Judged]
    sources: dict[str, Source]
    constants: Constants
    problems: list[str] = field(default_factory=list)

    def __getitem__(self, claim: str) -> Judged:
        for item in self.judged:
            if item.claim.id == claim:
                return item
        raise UserError(f"no claim {claim!r}; `inferometer claims` lists the ids")


def judge_folder(claims: Path, results: Path, machine: str | None = None) -> Verdicts:
    """Read a registry and judge all of it; a broken entry never keeps the others from a verdict."""
    return judge_registry(registry.load(claims), Results(results, machine))


def judge_registry(loaded: Registry, results: Results) -> Verdicts:
    """Judge every entry of a registry against its checks and the results."""
    problems = list(loaded.problems)
    judged = [_judge(entry, loaded.constants, results, problems) for entry in loaded.entries]
    problems += results.problems
    return Verdicts(judged, loaded.sources, loaded.constants, problems)


def _judge(entry: Entry, constants: Constants, results: Results, problems: list[str]) -> Judged:
    try:
        check = judge.check(entry, constants)
        runs = tuple(measured.runs(entry, constants, results))
    except UserError as error:
        problems.append(str(error))
        return Judged(entry.claim, entry.source, "not judged", str(error))
    verdict, reason = combine(check, runs)
    return Judged(entry.claim, entry.source, verdict, reason, check, runs)


def combine(check: CheckResult | None, runs: Iterable[Run]) -> tuple[VerdictKind, str]:
    """Arithmetic that fails stands; otherwise a decisive run does; otherwise what is left.

    Machines that disagree make the claim inconclusive: it holds here and fails there.
    """
    runs = tuple(runs)
    if check and check.verdict in ("impossible", "inconsistent"):
        return check.verdict, _reason(check)
    decided = {run.verdict for run in runs if run.verdict in MEASURED}
    if {"contradicted", "reproduced"} <= decided:
        reasons = "; ".join(f"{run.machine}: {run.verdict}" for run in runs)
        return "inconclusive", f"machines disagree: {reasons}"
    for wanted in MEASURED:
        settled = wanted != "inconclusive" or not (check and check.verdict == "consistent")
        if wanted in decided and settled:
            return wanted, next(run.reason for run in runs if run.verdict == wanted)
    if check:
        return check.verdict, _reason(check)
    return runs[0].verdict, runs[0].reason


def _reason(check: CheckResult) -> str:
    """The deciding tests in words, with factors, and what they hang on."""
    parts = []
    for test in check.deciding:
        word = "holds" if test.holds else "fails"
        factor = f" (off by a factor {test.factor:.3g})" if test.factor else ""
        parts.append(f"{test.numbers} {word}{factor}, against {test.against}")
    if check.weak:
        parts.append(f"hangs on values not verified here: {', '.join(check.weak)}")
    return "; ".join(parts)
