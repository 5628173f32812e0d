"""A tiny repository with evidence made by hand: two SUTs, three blocks, known rates."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from inferometer import digests, manifest, records
from inferometer.experiments import Experiment, find
from inferometer.findings import (
    Branch,
    Decision,
    Finding,
    FindingsFile,
    Interval,
    Leaf,
    Outcome,
    Rows,
    SessionRef,
    Verdict,
    rows_digest,
)
from inferometer.reporting import figures
from inferometer.reporting.context import ReportContext, SessionFacts, SetAside, ValidityRow
from inferometer.reporting.render import render

MACHINE = "testbox-2c-8g-abc123"
SUTS = ("one-slot", "two-slots")
BLOCKS = 3

DESIGN = """
schema_version: 1
experiment: tr900
title: A tiny experiment
question: Does the rate fall from 1 agent to 2?
published: The rate falls by 30 %.
boundary: {includes: [the request], excludes: [start-up], clock: monotonic, tokens: counted}
suts:
  one-slot: {stack: fake, artifact: tiny, settings: {slots: 1}}
  two-slots: {stack: fake, artifact: tiny, settings: {slots: 2}}
factors:
  agents: {title: agents, minimum: 1}
responses: {rate: tokens per second}
depths:
  quick: {blocks: 3, phases: {scaling: {agents: [1, 2]}}, effort: {requests: 2}}
  standard: {blocks: 3, phases: {scaling: {agents: [1, 2]}}, effort: {requests: 2}}
seed: 7
warmup: {requests: 1}
noise: {steal_fraction: .02, foreign_cpu_fraction: .1, spin_jitter: .5, repeats: 1}
gates: {failed_fraction: 0, client_lag_p99_s: .01, think_overrun_p99_s: .01}
hypotheses:
  rate-falls: {statement: The rate at 2 agents is below that at 1, test: paired t, family: rates}
exclusions: []
"""

TEMPLATE = """{% extends "base.md.j2" %}
{% block answer %}
{{ says("rate-falls",
        supported="The rate falls to " ~ value("one-slot.rate.n2") ~ ".",
        refuted="The rate rises.",
        inconclusive="The rate at " ~ design("N = 2") ~ " cannot be told from the first.",
        not_testable="Nothing was measured.",
        exploratory="No verdict at this depth.") }}
{% endblock %}
{% block results %}
| agents | one slot (tokens/s) | two slots (tokens/s) | n |
|---|---|---|---|
{% for agents in plan.phases.scaling.agents %}
{% set one = "one-slot.rate.n" ~ agents %}
| {{ agents }} | {{ cell(one) }} | {{ cell("two-slots.rate.n" ~ agents) }} | {{ n(one) }} |
{% endfor %}

{{ figure("rate", "Rate against agents; bars are intervals.") }}

Efficiency {{ percent("one-slot.efficiency") }}; the peak is {{ value("peak") }}.
{% endblock %}
{% block threats %}
One machine; fake data.
{% endblock %}
"""


@dataclass(frozen=True)
class Tiny:
    """The repository and the parts that tests alter."""

    root: Path
    depth: str = "standard"

    @property
    def experiment(self) -> Experiment:
        return find(self.root)["tr900"]

    @property
    def results(self) -> Path:
        return self.experiment.results(self.root, MACHINE, self.depth)

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def report(self) -> Path:
        return self.reports / "tr900.md"

    @property
    def findings(self) -> Path:
        return self.results / "findings.json"

    def render(self) -> list[Path]:
        return render(self.experiment, self.findings, self.reports)

    def rewrite(self, **changes: Any) -> None:
        """Store the findings with some fields replaced."""
        file = FindingsFile.load(self.findings).model_copy(update=changes)
        file.save(self.findings)


def make(root: Path, depth: str = "standard") -> Tiny:
    """Measure, tidy, analyse and render the tiny experiment."""
    folder = root / "experiments" / "tr900_tiny"
    folder.mkdir(parents=True)
    (folder / "design.yaml").write_text(DESIGN)
    (folder / "report.md.j2").write_text(TEMPLATE)
    tiny = Tiny(root, depth)
    for sut in SUTS:
        for block in range(BLOCKS):
            _measure(tiny, sut, block)
    _abort(tiny)
    table = observations(tiny.results)
    table.to_parquet(tiny.results / "observations.parquet", index=False)
    file, _ = analyse(tiny.experiment, tiny.results, MACHINE, depth)
    written = figures.save(draw(file), tiny.results / "figures")
    file.model_copy(update={"figures": written}).save(tiny.findings)
    tiny.render()
    return tiny


def _measure(tiny: Tiny, sut: str, block: int) -> None:
    raw = tiny.results / "raw" / sut / f"{block:02d}.jsonl"
    with records.RawWriter(raw) as writer:
        for agents in (1, 2):
            for index in range(2):
                rate = 100 / agents**0.5 + block + index * 0.25 + (sut == "two-slots") * 10 * agents
                writer.append({"kind": "request", "agents": agents, "rate": rate, "tokens": 32})
    log = raw.with_suffix(".server.log.gz")
    log.write_bytes(b"log")
    content = {
        "experiment": "tr900",
        "session": f"{sut}/{block:02d}",
        "sut": sut,
        "block": block,
        "design_digest": tiny.experiment.design.digest,
        "machine": {"id": MACHINE},
        "files": {log.name: digests.of_file(log)},
    }
    manifest.seal(raw, content, target=manifest.path_for(raw))


def _abort(tiny: Tiny) -> None:
    """A session killed in the middle of a line."""
    folder = tiny.results / "raw" / SUTS[0] / "aborted"
    folder.mkdir()
    line = json.dumps({"schema_version": 1, "kind": "request", "agents": 1, "rate": 1.0})
    (folder / "00.20250101T000000Z.jsonl").write_text(f'{line}\n{{"schema_ver')


def observations(results: Path) -> pd.DataFrame:
    """One row a request, as `inferometer.tidy.observations`."""
    rows = []
    for path in sorted(results.glob("raw/*/[0-9][0-9].manifest.json")):
        sealed = manifest.read(path)
        for line, record in records.read(path.with_name(sealed["raw"]["file"])):
            place = {"session": sealed["session"], "sut": sealed["sut"], "block": sealed["block"]}
            rows.append(place | {"line": line, "agents": record["agents"], "rate": record["rate"]})
    return pd.DataFrame(rows)


def analyse(
    experiment: Experiment,
    results: Path,
    machine: str,
    depth: str,
    observations_: pd.DataFrame | None = None,
) -> tuple[FindingsFile, dict[str, Any]]:
    """Means over blocks with t intervals, as `inferometer.analysis.analyse`."""
    table = observations(results) if observations_ is None else observations_
    found = []
    for sut in SUTS:
        for agents in (1, 2):
            chosen = table[(table.sut == sut) & (table.agents == agents)]
            blocks = chosen.groupby("block").rate.mean().tolist()
            found.append(_finding(f"{sut}.rate.n{agents}", blocks, chosen, sut, agents))
    found += _special(table)
    file = FindingsFile(
        experiment="tr900",
        machine=machine,
        depth=depth,
        design_digest=experiment.design.digest,
        observations_sha256=digests.of_file(results / "observations.parquet"),
        sessions=_sessions(results),
        findings=found,
        verdicts=[_verdict("inconclusive")],
        decisions=[_decision()],
        context=_context(experiment, results).stored(),
    )
    return file, {}


def draw(file: FindingsFile) -> dict[str, Any]:
    """The figure of the report."""
    with figures.style():
        figure, axes = figures.panel("Rate", "agents", "tokens/s")
        rates = [file[f"one-slot.rate.n{agents}"] for agents in (1, 2)]
        estimates = [figures.Estimate(f.value, f.interval.low, f.interval.high) for f in rates]
        figures.points(axes, [1, 2], estimates, "one slot", 0, raw=([1, 1], [100.0, 102.0]))
        figures.legend(axes)
    return {"rate": figure}


def _finding(name: str, blocks: list[float], chosen: Any, sut: str, agents: int) -> Finding:
    mean, spread = statistics.mean(blocks), statistics.stdev(blocks) / len(blocks) ** 0.5
    half = float(stats.t.ppf(0.975, len(blocks) - 1)) * spread
    return Finding(
        id=name,
        title=f"Mean rate of {sut} at N = {agents}",
        value=mean,
        unit="tokens/s",
        interval=Interval(low=mean - half, high=mean + half),
        n=len(blocks),
        estimator="t on block means",
        rows=_rows(chosen, {"sut": sut, "agents": agents}),
    )


def _special(table: pd.DataFrame) -> list[Finding]:
    everything = _rows(table, {})
    efficiency = Finding(
        id="one-slot.efficiency",
        title="Efficiency",
        value=0.70712,
        interval=Interval(low=0.69, high=None),
        n=BLOCKS,
        estimator="bound",
        rows=everything,
    )
    peak = Finding(
        id="peak",
        title="Agents at the peak",
        value=None,
        no_interval="undefined",
        n=BLOCKS,
        estimator="argmax",
        rows=everything,
        reason="the rate falls at every level",
    )
    return [efficiency, peak]


def _rows(chosen: pd.DataFrame, where: dict[str, Any]) -> Rows:
    pairs = list(zip(chosen.session, chosen.line, strict=True))
    return Rows(where=where, count=len(pairs), digest=rows_digest(pairs))


def _sessions(results: Path) -> list[SessionRef]:
    found = []
    for path in sorted(results.glob("raw/*/[0-9][0-9].manifest.json")):
        sealed = manifest.read(path)
        found.append(
            SessionRef(
                id=sealed["session"],
                sut=sealed["sut"],
                block=sealed["block"],
                records=sealed["raw"]["lines"],
                raw_sha256=sealed["raw"]["sha256"],
                manifest_sha256=sealed["manifest_sha256"],
                design_digest=sealed["design_digest"],
            )
        )
    return found


def _context(experiment: Experiment, results: Path) -> ReportContext:
    facts = [
        SessionFacts(
            id=session.id,
            started="2025-01-02T03:04:05+00:00",
            ended="2025-01-02T03:05:05+00:00",
            machine=MACHINE,
            commit="0123456789abcdef",
            stack="fake 1.0",
            command="fake --slots 1",
            environment="e" * 64,
            artifacts={"tiny": "a" * 64},
        )
        for session in _sessions(results)
    ]
    aborted = SetAside(
        file="raw/one-slot/aborted/00.20250101T000000Z.jsonl", kind="aborted", records=1
    )
    return ReportContext(
        design=experiment.design,
        machine={"CPU": "Test CPU, 2 cores"},
        sessions=facts,
        set_aside=[aborted],
        cells_measured=12,
        validity=[ValidityRow(label="Efficiency", finding="one-slot.efficiency")],
    )


def _verdict(outcome: Outcome) -> Verdict:
    return Verdict(
        hypothesis="rate-falls",
        statement="The rate at 2 agents is below that at 1",
        outcome=outcome,
        reason="the difference at [[=2]] agents is [[one-slot.rate.n2]]",
        findings=["one-slot.rate.n1", "one-slot.rate.n2"],
        family="rates",
        test="paired t",
        p=0.2,
        p_adjusted=0.2,
    )


def _decision() -> Decision:
    return Decision(
        id="slots",
        title="How many slots",
        root=Branch(
            question="efficiency >= 0.7?",
            finding="one-slot.efficiency",
            holds=None,
            yes=Leaf(advice="use 1 slot"),
            no=Leaf(advice="use 2 slots"),
        ),
    )
