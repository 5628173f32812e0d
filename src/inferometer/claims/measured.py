"""Judge a claim by the findings of an experiment, machine by machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inferometer.claims import expression, judge
from inferometer.claims.functions import FUNCTIONS
from inferometer.claims.registry import Constants, Entry
from inferometer.claims.schema import NEEDS, Binding, Claim, VerdictKind
from inferometer.errors import UserError
from inferometer.findings import Finding, FindingsFile, full_id

FINDINGS_FILE = "findings.json"


@dataclass(frozen=True)
class Run:
    """What one machine's findings say about a claim."""

    verdict: VerdictKind
    reason: str
    machine: str | None = None
    finding: str | None = None
    file: str | None = None


class Results:
    """The findings under a results folder, read once; a damaged file is a problem, not a stop.

    Parameters
    ----------
    machine
        Only this machine's, where one is named.
    only
        Only these files: a committed report is judged anew by what it was judged by.
    """

    def __init__(
        self, folder: Path, machine: str | None = None, only: Sequence[Path] | None = None
    ) -> None:
        self.folder = folder
        self.problems: list[str] = []
        found = sorted(folder.glob(f"*/*/{FINDINGS_FILE}")) if only is None else sorted(only)
        # other depths than standard decide nothing; their folders have a suffix
        self.files = [path for path in found if "-" not in path.parent.name]
        self.machines = [machine] if machine else sorted({p.parents[1].name for p in self.files})
        self._files: dict[tuple[str, str], FindingsFile | None] = {}

    def file(self, machine: str, experiment: str) -> Path:
        """Where the findings of an experiment lie."""
        return self.folder / machine / experiment / FINDINGS_FILE

    def get(self, machine: str, experiment: str) -> FindingsFile | None:
        """The findings, or `None` when the experiment has not run on the machine."""
        key = (machine, experiment)
        if key not in self._files:
            self._files[key] = self._read(self.file(machine, experiment))
        return self._files[key]

    def _read(self, path: Path) -> FindingsFile | None:
        if path not in self.files:
            return None
        try:
            return FindingsFile.load(path)
        except UserError as error:
            self.problems.append(str(error))
            return None


def runs(entry: Entry, constants: Constants, results: Results) -> list[Run]:
    """One verdict for each machine that has results; one general reason when none has.

    Raises `UserError` when the binding's expressions cannot be computed.
    """
    claim = entry.claim
    experiment = claim.binding.experiment if claim.binding else claim.experiment
    if experiment == "none":
        return [Run("not testable here", _no_experiment(claim))]
    found = []
    for machine in results.machines:
        file = results.get(machine, experiment)
        if file is None:
            continue
        path = results.file(machine, experiment).as_posix()
        if claim.binding is None:
            reason = (
                f"{experiment} ran on {machine}, but this claim is bound to none of its findings"
            )
            found.append(Run("not testable here", reason, machine, None, path))
        else:
            found.append(_judge(entry, claim.binding, constants, file, machine, path, results))
    if found:
        return found
    where = f"machine {results.machines[0]}" if len(results.machines) == 1 else "this machine"
    return [Run("not testable here", f"no run of {experiment} on {where}")]


def _no_experiment(claim: Claim) -> str:
    needed = ", ".join(NEEDS[need] for need in claim.needs)
    return f"no experiment of this project measures it; it would need {needed}"


def _judge(
    entry: Entry,
    binding: Binding,
    constants: Constants,
    file: FindingsFile,
    machine: str,
    path: str,
    results: Results,
) -> Run:
    finding = _lookup(file, binding)
    if finding is None:
        near = ", ".join(sorted(item.id for item in file.findings)[:6])
        problem = f"{path} has no finding {binding.finding!r}; it has {near}, ..."
        results.problems.append(f"{entry.where}: binding.finding: {problem}")
        return Run("not testable here", problem, machine, binding.finding, path)
    verdict, reason = _compare(entry, binding, constants, finding, file.depth)
    if binding.scope == "same-machine" and not machine.startswith(binding.machine or ""):
        reason = (
            f"the claim is about {binding.machine}; {machine} can only comment: {reason} "
            f"(would be {verdict} there)"
        )
        verdict = "not testable here"
    return Run(verdict, reason, machine, binding.finding, path)


def _lookup(file: FindingsFile, binding: Binding) -> Finding | None:
    for finding in file.findings:
        short = binding.finding.removeprefix(f"{binding.experiment}.")
        if short == finding.id or full_id(file.experiment, finding.id) == binding.finding:
            return finding
    return None


def _compare(
    entry: Entry, binding: Binding, constants: Constants, finding: Finding, depth: str
) -> tuple[VerdictKind, str]:
    low, high = _published(entry, binding, constants)
    published = f"[{_end(low)}, {_end(high)}]"
    if finding.value is None:
        return "inconclusive", f"the finding is undefined: {finding.reason}"
    measured = f"{expression.shown(finding.value)} {finding.unit}".strip()
    if finding.interval is None:
        return "inconclusive", f"measured {measured} without an interval ({finding.no_interval})"
    least, most = finding.interval.low, finding.interval.high
    text = (
        f"measured {measured}, {finding.interval.confidence:.0%} interval "
        f"[{_end(least)}, {_end(most)}], published {published}"
    )
    if depth == "quick":
        return "inconclusive", f"exploratory run (depth quick): {text}"
    if (least is not None and high is not None and least > high) or (
        most is not None and low is not None and most < low
    ):
        return "contradicted", f"{text}: no overlap"
    covered_low = low is None or (least is not None and least >= low)
    covered_high = high is None or (most is not None and most <= high)
    if covered_low and covered_high:
        return "reproduced", f"{text}: inside"
    return "inconclusive", f"{text}: the interval crosses an end of the published range"


def _published(
    entry: Entry, binding: Binding, constants: Constants
) -> tuple[float | None, float | None]:
    """The values that agree with the claim, as a range; an open end is `None`."""
    values = judge.step_values(entry, constants)

    def number(key: str) -> float:
        text = getattr(binding, key)
        try:
            return float(expression.evaluate(text, values, FUNCTIONS))
        except (expression.ExpressionError, TypeError, ValueError) as error:
            raise UserError(f"{entry.where}: binding.{key}: {text!r}: {error}") from None

    if binding.relation == "within":
        return number("low"), number("high")
    centre = number("expected")
    if binding.relation == "at_least":
        return centre, None
    if binding.relation == "at_most":
        return None, centre
    half = binding.margin if binding.margin is not None else abs(centre) * (binding.tolerance or 0)
    return centre - half, centre + half


def _end(value: float | None) -> str:
    return "open" if value is None else expression.shown(float(value))
