from pathlib import Path

import pytest

from inferometer.claims import verdicts
from inferometer.claims.judge import CheckResult
from inferometer.claims.measured import Results, Run
from inferometer.claims.registry import load
from inferometer.findings import Finding, FindingsFile, Interval, Rows

HERE = Path(__file__).parents[2]
REGISTRY = load(HERE / "claims")


def finding(name: str, value: float, low: float | None, high: float | None) -> Finding:
    interval = Interval(low=low, high=high) if (low, high) != (None, None) else None
    return Finding(
        id=name,
        title=name,
        value=value,
        interval=interval,
        no_interval=None if interval else "fewer than 3 blocks",
        n=7,
        estimator="t over block means",
        rows=Rows(where={}, count=7, digest="0"),
    )


def results(
    tmp_path: Path, *found: Finding, machine: str = "epyc-2c", depth: str = "standard"
) -> Results:
    folder = tmp_path / machine / "tr129"
    folder.mkdir(parents=True, exist_ok=True)
    FindingsFile(
        experiment="tr129",
        machine=machine,
        depth=depth,
        design_digest="0",
        observations_sha256="0",
        sessions=[],
        findings=list(found),
    ).save(folder / "findings.json")
    return Results(tmp_path)


def judged(results: Results, claim: str) -> verdicts.Judged:
    return verdicts.judge_registry(REGISTRY, results)[claim]


JAIN = "llamacpp-serial.jain.n8"  # s001-h5-jain: at least 0.997, any machine can contradict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.998, 1.0, "reproduced"),
        (0.997, 1.0, "reproduced"),
        (0.90, 0.95, "contradicted"),
        (0.99, 1.0, "inconclusive"),
        (0.998, None, "reproduced"),
        (None, 0.9, "contradicted"),
        (None, None, "inconclusive"),
    ],
)
def test_the_interval_decides(
    tmp_path: Path, low: float | None, high: float | None, verdict: str
) -> None:
    item = judged(results(tmp_path, finding(JAIN, 0.995, low, high)), "s001-h5-jain")
    assert item.verdict == verdict
    assert item.runs[0].machine == "epyc-2c"
    assert item.runs[0].finding == "tr129.llamacpp-serial.jain.n8"


def test_an_exploratory_run_decides_nothing(tmp_path: Path) -> None:
    here = results(tmp_path, finding(JAIN, 0.5, 0.4, 0.6), depth="quick")
    item = judged(here, "s001-h5-jain")
    assert item.verdict == "inconclusive"
    assert "exploratory" in item.reason


def test_another_machine_comments_and_the_same_one_decides(tmp_path: Path) -> None:
    name = "llamacpp-serial.serial_fraction"  # s001-k5-fit: s within 0.39-0.54 on one laptop
    other = judged(results(tmp_path / "a", finding(name, 0.95, 0.9, 1.0)), "s001-k5-fit")
    assert other.verdict == "plausible"
    assert other.runs[0].verdict == "not testable here"
    assert "epyc-2c can only comment" in other.runs[0].reason
    assert "would be contradicted there" in other.runs[0].reason
    same = results(tmp_path / "b", finding(name, 0.95, 0.9, 1.0), machine="rtx-4080-laptop-x")
    assert judged(same, "s001-k5-fit").verdict == "contradicted"


def test_failing_arithmetic_stands_whatever_a_run_says(tmp_path: Path) -> None:
    here = results(
        tmp_path, finding("llamacpp-serial.eta.n2", 0.7, 0.68, 0.72), machine="rtx-4080-laptop-x"
    )
    item = judged(here, "s001-f1-eta2")
    assert item.verdict == "inconsistent"
    assert item.runs[0].verdict == "reproduced"


def test_no_run_is_the_reason_and_it_is_computed(tmp_path: Path) -> None:
    assert judged(Results(tmp_path), "s001-h5-jain").reason == "no run of tr129 on this machine"
    here = results(tmp_path, finding(JAIN, 1, 1, 1))
    assert judged(here, "s001-h1-crossover").reason == "no run of tr130 on machine epyc-2c"
    assert "bound to none of its findings" in judged(here, "s001-j6-agents").reason


def test_a_finding_that_does_not_exist_is_a_problem_with_a_fix(tmp_path: Path) -> None:
    here = results(tmp_path, finding("llamacpp-batch8.jain.n8", 1, 1, 1))
    found = verdicts.judge_registry(REGISTRY, here)
    assert found["s001-h5-jain"].verdict == "not testable here"
    problem = next(text for text in found.problems if "s001-h5-jain" in text)
    assert "binding.finding" in problem
    assert (
        "has no finding 'tr129.llamacpp-serial.jain.n8'; it has llamacpp-batch8.jain.n8" in problem
    )


def test_a_damaged_findings_file_is_a_problem_and_not_a_stop(tmp_path: Path) -> None:
    here = results(tmp_path, finding(JAIN, 1, 1, 1))
    (tmp_path / "epyc-2c" / "tr129" / "findings.json").write_text("{")
    found = verdicts.judge_registry(REGISTRY, here)
    assert len(found.judged) == len(REGISTRY.entries)
    assert any("findings.json" in problem for problem in found.problems)


def test_machines_that_disagree_make_a_claim_inconclusive(tmp_path: Path) -> None:
    results(tmp_path, finding(JAIN, 1, 0.999, 1), machine="a")
    here = results(tmp_path, finding(JAIN, 0.5, 0.4, 0.6), machine="b")
    item = judged(here, "s001-h5-jain")
    assert (item.verdict, item.reason) == (
        "inconclusive",
        "machines disagree: a: reproduced; b: contradicted",
    )
    assert judged(Results(tmp_path, "b"), "s001-h5-jain").verdict == "contradicted"


def test_tost_by_interval_inclusion(tmp_path: Path) -> None:
    text = (HERE / "claims" / "s001.yaml").read_text()
    old = "{finding: tr129.llamacpp-serial.jain.n8, relation: at_least, expected: jain, scope: any}"
    new = old.replace("at_least", "equivalent").replace("scope", "margin: 0.002, scope")
    assert old in text
    folder = tmp_path / "claims"
    folder.mkdir()
    (folder / "s001.yaml").write_text(text.replace(old, new))
    constants = (HERE / "claims" / "constants.yaml").read_text()
    (folder / "constants.yaml").write_text(constants)
    loaded = load(folder)
    for low, high, verdict in (
        (0.9955, 0.9985, "reproduced"),
        (0.9945, 0.9985, "inconclusive"),
        (0.9, 0.99, "contradicted"),
    ):
        here = results(tmp_path / f"{low}", finding(JAIN, 0.997, low, high))
        assert verdicts.judge_registry(loaded, here)["s001-h5-jain"].verdict == verdict


def test_an_inconclusive_run_does_not_unsettle_consistent_arithmetic() -> None:
    consistent = CheckResult("consistent", (), (), (), ())
    plausible = CheckResult("plausible", (), (), (), ())
    runs = [Run("inconclusive", "wide", "m")]
    assert verdicts.combine(consistent, runs)[0] == "consistent"
    assert verdicts.combine(plausible, runs)[0] == "inconclusive"
    assert verdicts.combine(consistent, [Run("contradicted", "far", "m")])[0] == "contradicted"
