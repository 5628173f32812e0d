"""Analyse: observations become findings, verdicts, decisions and figures.

The experiment's own `analyse.py` says what to estimate; here is what every analysis shares:
the ledger that ties each number to its rows, and the facts of its sessions.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from inferometer import digests, manifest, records, tidy
from inferometer.design import Hypothesis
from inferometer.errors import UserError
from inferometer.experiments import Experiment
from inferometer.findings import (
    Decision,
    Finding,
    FindingsFile,
    Interval,
    Outcome,
    Rows,
    Scalar,
    SessionRef,
    Verdict,
    rows_digest,
)
from inferometer.reporting import figures as drawing
from inferometer.reporting.context import (
    FailedCell,
    NoisySession,
    NotTestable,
    ReportContext,
    SessionFacts,
    SetAside,
    SoftwareChange,
    ValidityRow,
)

Where = dict[str, Scalar | list[Scalar]]
DIGITS = 10
"""Significant digits of a finding. Those beyond depend on the processor: its kernels of linear
algebra add in another order. Whole numbers keep theirs."""
FEWEST_BLOCKS = "fewer than 3 blocks: no interval"


class Ledger:
    """Collects findings; each is entered together with the rows that it came from."""

    def __init__(self, observations: pd.DataFrame) -> None:
        self.observations = observations
        self.findings: dict[str, Finding] = {}
        self._rows: dict[str, Rows] = {}

    def rows(self, where: Where) -> Rows:
        """The rows that `where` selects: column -> value or list of values."""
        key = digests.of_data(where)
        if key not in self._rows:
            chosen = self.observations.loc[_match(self.observations, where), ["session", "line"]]
            pairs = list(zip(chosen["session"], chosen["line"].astype(int), strict=True))
            self._rows[key] = Rows(where=where, count=len(pairs), digest=rows_digest(pairs))
        return self._rows[key]

    def add(
        self,
        name: str,
        title: str,
        value: float | int | bool | str | None,
        *,
        unit: str = "",
        ci: Sequence[float | None] | None = None,
        confidence: float = 0.95,
        n: int,
        n_of: str = "blocks",
        estimator: str,
        where: Where,
        no_interval: str | None = None,
        reason: str | None = None,
        notes: str | None = None,
    ) -> Finding:
        """Enter one finding. Without an interval it says why; undefined values say so too."""
        interval = (
            Interval(low=_plain(ci[0]), high=_plain(ci[1]), confidence=confidence) if ci else None
        )
        if interval is None and no_interval is None:
            no_interval = reason or FEWEST_BLOCKS
        finding = Finding(
            id=name,
            title=title,
            value=_plain(value),
            unit=unit,
            interval=interval,
            no_interval=no_interval,
            n=n,
            n_of=n_of,
            estimator=estimator,
            rows=self.rows(where),
            reason=(reason or "undefined for these data") if value is None else None,
            notes=notes,
        )
        self.findings[name] = finding
        return finding


@dataclass
class Analysis:
    """What an experiment's `analyse(ledger, experiment, depth)` returns."""

    verdicts: list[Verdict] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    validity: list[ValidityRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Judgement:
    """What a test says of one hypothesis; `p` is `None` for tests that rest on intervals."""

    outcome: Outcome
    reason: str
    findings: list[str]
    p: float | None = None


def select(observations: pd.DataFrame, where: Where) -> pd.DataFrame:
    """The observations whose columns have the given values."""
    return observations[_match(observations, where)]


def _match(observations: pd.DataFrame, where: Where) -> np.ndarray:
    chosen = np.ones(len(observations), dtype=bool)
    for column, wanted in where.items():
        allowed = wanted if isinstance(wanted, list) else [wanted]
        chosen &= observations[column].isin(allowed).to_numpy()
    return chosen


def judge(
    hypotheses: dict[str, Hypothesis], tests: dict[str, Callable[[Hypothesis], Judgement]]
) -> list[Verdict]:
    """Run each declared test; Holm inside each family over the tests that have a p-value.

    A test with a p-value proposes "supported"; the adjusted p decides whether that stands.
    """
    from inferometer.stats import compare

    judged = {name: tests[h.test](h) for name, h in hypotheses.items()}
    adjusted: dict[str, float] = {}
    for family in {h.family for h in hypotheses.values()}:
        members = [
            n for n, h in hypotheses.items() if h.family == family and judged[n].p is not None
        ]
        if members:
            ps = [float(judged[name].p or 0.0) for name in members]
            adjusted |= dict(zip(members, compare.holm(ps).p_adjusted, strict=True))
    verdicts = []
    for name, hypothesis in hypotheses.items():
        seen = judged[name]
        outcome, reason = seen.outcome, seen.reason
        if outcome == "supported" and name in adjusted and adjusted[name] > hypothesis.alpha:
            outcome = "inconclusive"
            reason += "; not beyond alpha after Holm's correction within its family"
        verdicts.append(
            Verdict(
                hypothesis=name,
                statement=hypothesis.statement,
                outcome=outcome,
                reason=reason,
                findings=seen.findings,
                family=hypothesis.family,
                test=hypothesis.test,
                p=_plain(seen.p),
                p_adjusted=_plain(adjusted.get(name)),
            )
        )
    return verdicts


def on_measured(
    suts: Mapping[str, Any],
    ledger: Ledger,
    absent: str,
    test: Callable[[Hypothesis, Any, Ledger], Judgement],
) -> Callable[[Hypothesis], Judgement]:
    """A test of the SUT that a hypothesis names; `absent` is the reason where it has no rows."""

    def run(hypothesis: Hypothesis) -> Judgement:
        if hypothesis.sut is None or hypothesis.sut not in suts:
            return Judgement("not testable here", absent, [])
        return test(hypothesis, suts[hypothesis.sut], ledger)

    return run


def analyse(
    experiment: Experiment,
    results: Path,
    machine: str,
    depth: str,
    observations: pd.DataFrame | None = None,
) -> tuple[FindingsFile, dict[str, Any]]:
    """All findings of one experiment on one machine, and its figures; nothing is written.

    `observations` defaults to the table tidied anew from the raw files; the digest in the
    result is that of the stored `observations.parquet`.
    """
    if observations is None:
        observations = tidy.observations(results)
    manifests = [manifest.read(path) for path in tidy.sessions(results)]
    manifests.sort(key=lambda m: (m["sut"], m["block"]))
    ledger = Ledger(observations)
    try:
        found: Analysis = experiment.step("analyse").analyse(ledger, experiment, depth)
    except ValueError as error:  # what the statistics refuse, they refuse with a reason
        raise UserError(
            f"{results}: the valid cells there do not carry this analysis: {error}. Measure the "
            "levels that the design declares, or see which cells failed in the session's output"
        ) from error
    stored = results / "observations.parquet"
    file = FindingsFile(
        experiment=experiment.id,
        machine=machine,
        depth=depth,
        design_digest=experiment.design.digest,
        observations_sha256=digests.of_file(stored) if stored.is_file() else "",
        sessions=[_reference(sealed) for sealed in manifests],
        findings=list(ledger.findings.values()),
        verdicts=found.verdicts,
        decisions=found.decisions,
        context=_context(experiment, results, manifests, found).stored(),
    )
    return file, found.figures


def write(
    experiment: Experiment, results: Path, machine: str, depth: str, observations: pd.DataFrame
) -> FindingsFile:
    """Analyse, draw, and store `findings.json` and `figures/` in the results folder."""
    file, drawn = analyse(experiment, results, machine, depth, observations)
    saved = drawing.save(drawn, results / "figures")
    file = file.model_copy(update={"figures": saved})
    file.save(results / "findings.json")
    return file


def _plain(value: Any) -> Any:
    """Numpy scalars as Python's own, of `DIGITS`; not-a-number is refused rather than stored."""
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, float):
        return value
    if not np.isfinite(value):
        raise ValueError(f"a finding cannot be {value}; say None and why")
    return value if value.is_integer() else float(f"{value:.{DIGITS}g}")


def _reference(sealed: manifest.Manifest) -> SessionRef:
    return SessionRef(
        id=sealed["session"],
        sut=sealed["sut"],
        block=sealed["block"],
        records=sealed["raw"]["lines"],
        raw_sha256=sealed["raw"]["sha256"],
        manifest_sha256=sealed["manifest_sha256"],
        design_digest=sealed["design_digest"],
    )


def _context(
    experiment: Experiment, results: Path, manifests: list[manifest.Manifest], found: Analysis
) -> ReportContext:
    measured = {sealed["sut"] for sealed in manifests}
    return ReportContext(
        design=experiment.design,
        machine=_machine_facts(manifests[0]["machine"]["identity"]),
        sessions=[_session_facts(sealed) for sealed in manifests],
        set_aside=_set_aside(results),
        noisy=[
            NoisySession(session=m["session"], reasons=m["noise"]["complaints"])
            for m in manifests
            if m["noise"]["complaints"]
        ],
        cells_measured=sum(len(sealed["cell_order"]) for sealed in manifests),
        failed_cells=[
            FailedCell(session=m["session"], cell=cell, reasons=reasons)
            for m in manifests
            for cell, reasons in m["invalid_cells"].items()
        ],
        not_testable=[*_not_chosen(experiment, measured), *_not_testable_cells(manifests)],
        software_changes=_software_changes(manifests),
        validity=found.validity,
        notes=found.notes,
    )


def _not_chosen(experiment: Experiment, measured: set[str]) -> list[NotTestable]:
    suts = experiment.design.suts.items()
    names = [name for name, sut in suts if sut.optional and name not in measured]
    reason = "optional, and not chosen in the configuration"
    return [NotTestable(what=", ".join(names), reason=reason)] if names else []


def _not_testable_cells(manifests: list[manifest.Manifest]) -> list[NotTestable]:
    """Cells that the sessions could not measure here, told once for SUTs that share a reason."""
    cells: dict[tuple[str, str], set[str]] = {}
    for sealed in manifests:
        for cell, reason in sealed.get("not_testable_cells", {}).items():
            cells.setdefault((reason, sealed["sut"]), set()).add(cell)
    suts: dict[tuple[str, str], list[str]] = {}
    for (reason, sut), labels in sorted(cells.items()):
        suts.setdefault((reason, "; ".join(sorted(labels))), []).append(sut)
    return [
        NotTestable(what=f"{', '.join(names)} at {labels}", reason=reason)
        for (reason, labels), names in suts.items()
    ]


def _machine_facts(identity: dict[str, Any]) -> dict[str, str]:
    facts = {
        "CPU": f"{identity['cpu_model']} (family/model/stepping {identity['cpu_family']}), "
        f"{identity['cores']} cores, {identity['threads']} threads",
        "Instruction sets": ", ".join(identity["isa"]),
        "Caches": ", ".join(f"{name} {size}" for name, size in identity["caches"].items()),
        "RAM": f"{identity['ram_gib']} GiB, {identity['numa_nodes']} NUMA node(s)",
    }
    for gpu in identity["gpus"]:
        facts["GPU"] = f"{gpu['model']}, {gpu['memory_mib']} MiB, driver {gpu['driver']}"
    return {name: text for name, text in facts.items() if text}


def _session_facts(sealed: manifest.Manifest) -> SessionFacts:
    servers = sealed["servers"]
    environments = [s["environment"]["lock_sha256"] for s in servers if s["environment"]]
    code = sealed["code"]
    return SessionFacts(
        id=sealed["session"],
        started=sealed["started"],
        ended=sealed["ended"],
        machine=sealed["machine"]["id"],
        commit=(code["commit"] or "not in git")
        + (f"+dirty {code['dirty']}" if code["dirty"] else ""),
        stack="; ".join(_stack_version(server) for server in servers),
        command="; ".join(" ".join(server["command"]) for server in servers),
        environment=environments[0] if environments else "none of ours",
        artifacts={
            s["artifact"]["name"]: s["artifact"]["sha256"] for s in servers if s["artifact"]
        },
        platform=sealed["machine"]["software_digest"],
    )


def _stack_version(server: dict[str, Any]) -> str:
    """The stack with the pins of its own packages: their names contain its, or begin it.

    Where none does, what it says of itself: a server of the user's own, a library by another name.
    """
    stack = _letters(server["stack"])
    pins = (server["environment"] or {}).get("freeze", [])
    names = {pin: _letters(pin.partition("==")[0]) for pin in pins}
    own = [pin for pin, name in names.items() if stack in name or stack.startswith(name)]
    told = server.get("read_back", {})
    known = own or [str(told[key]) for key in ("library", "version") if told.get(key)]
    return f"{server['stack']} ({', '.join(known) or 'version unknown'})"


def _letters(package: str) -> str:
    """A package's name without what may part its words: `llama-cpp-python` -> `llamacpppython`."""
    return "".join(letter for letter in package.lower() if letter.isalnum())


def _set_aside(results: Path) -> list[SetAside]:
    found = []
    for kind in ("aborted", "noisy", "superseded"):
        for path in sorted(results.glob(f"raw/*/{kind}/*.jsonl")):
            reason, count = "the session was killed", 0
            for _, record in records.read(path, partial=True):
                count += 1
                if record["kind"] == "aborted":
                    reason = record["reason"].splitlines()[0]
            if kind == "noisy":
                reason = "; ".join(manifest.read(manifest.path_for(path))["noise"]["complaints"])
            elif kind == "superseded":
                reason = "measured again"
            where = path.relative_to(results).as_posix()
            found.append(SetAside(file=where, kind=kind, records=count, reason=f"`{reason}`"))
    return found


def _software_changes(manifests: list[manifest.Manifest]) -> list[SoftwareChange]:
    """What changed from one session to the next, in the order of measuring."""
    ordered = sorted(manifests, key=lambda sealed: sealed["started"])
    changes = []
    for before, after in pairwise(ordered):
        old, new = _flat(before["machine"]["software"]), _flat(after["machine"]["software"])
        changes += [
            SoftwareChange(
                session=after["session"], what=name, before=str(old.get(name)), after=value
            )
            for name, value in new.items()
            if old.get(name) != value
        ]
    return changes


def _flat(software: dict[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in software.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": str(item) for inner, item in value.items()}
        else:
            flat[name] = str(value)
    return flat


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `inferometer analyse`."""
    parser.add_argument("results", type=Path, help="folder such as results/<machine>/tr129")
    from inferometer.stages import repository

    repository.add_arguments(parser)


def run_command(args: argparse.Namespace) -> int:
    """Write `findings.json` and the figures of a results folder."""
    from inferometer.experiments import parse_results_name
    from inferometer.stages import repository

    name, depth = parse_results_name(args.results.name)
    experiment = repository.chosen(args).experiment(name)
    table = tidy.read(args.results / "observations.parquet")
    if table.empty:
        raise UserError(f"{args.results}: observations.parquet has no rows")
    file = write(experiment, args.results, args.results.parent.name, depth, table)
    print(
        f"{args.results / 'findings.json'}: {len(file.findings)} findings, "
        f"{len(file.verdicts)} verdicts, {len(file.figures)} figure files"
    )
    return 0
