"""Decision tree, `decide quantization` and `gate` over simulated findings of TR125."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from simulated_tr125 import MACHINE, commit, finding, tr125

from inferometer import cli
from inferometer import quantization as q
from inferometer.errors import UserError
from inferometer.quality import gates
from inferometer.reporting import decisions

REPOSITORY = Path(__file__).parents[2]


def advice(findings, risk, vram, model="tiny"):
    case = {"risk": q.RISKS[risk], "vram_gb": vram}
    return decisions.walk(q.decision(model, findings), case).advice


@pytest.mark.parametrize(
    ("risk", "vram", "changes", "expected"),
    [
        ("high", 12, {}, ["f16"]),
        ("high", 0.3, {}, ["q8_0"]),
        ("high", 0.1, {}, ["smaller"]),
        ("high", 0.3, {"losses": {"q8_0": ((-4.0, -2.5), (0.0, 1.0))}}, ["smaller"]),
        ("high", 0.3, {"losses": {"q8_0": ((-4.0, 1.0), (0.0, 1.0))}}, ["q8_0", "smaller"]),
        ("moderate", 12, {}, ["q4_k_m"]),
        ("moderate", 12, {"composite": {"q4_k_m": (0.3, 0.4)}}, ["above q4"]),
        ("moderate", 12, {"composite": {"q4_k_m": None}}, ["q4_k_m", "above q4"]),
        ("moderate", 12, {"losses": {"q4_k_m": ((-9.0, -6.0), (0.0, 1.0))}}, ["q8_0"]),
        ("low", 12, {}, ["q4_k_m"]),
        ("low", 1.5, {}, ["q4_k_m"]),
        ("low", 1.5, {"losses": {"q3_k_s": ((-3.0, -1.0), (-4.0, 1.0))}}, ["q3_k_s"]),
        ("low", 2, {"losses": {"q3_k_s": ((-3.0, -1.0), (-4.0, 1.0))}}, ["q4_k_m"]),
    ],
)
def test_the_tree_follows_the_findings(risk, vram, changes, expected):
    assert set(advice(tr125(**changes), risk, vram)) == {q.ADVICE[one] for one in expected}


def test_the_memory_rule_is_strict():
    findings = tr125(params=1_000_000_000)  # 2 GB at F16: more than 2.5 GB are needed
    assert advice(findings, "high", 2.5) == [q.ADVICE["q8_0"]]
    assert advice(findings, "high", 2.51) == [q.ADVICE["f16"]]
    unknown = {**findings, q.params_name("tiny"): finding(q.params_name("tiny"), None)}
    assert len(advice(unknown, "high", 12)) > 1


def test_the_tree_names_its_findings_and_is_drawn():
    findings = tr125()
    tree = q.decision("tiny", findings)
    assert set(decisions.findings_of(tree)) <= findings.keys()
    assert set(decisions.findings_of(tree)) <= set(q.required("tiny"))
    assert "Does Q4_K_M lose no more than 5 pp anywhere? (yes)" in decisions.as_text(tree)
    assert decisions.as_mermaid(tree).startswith("flowchart TD")
    assert json.loads(decisions.as_json(tree))["id"] == "quantization-tiny"
    del findings[q.difference_name("tiny", "q8_0", q.WORST)]
    with pytest.raises(ValueError, match=r"needs tiny\.q8_0\.worst\.difference"):
        q.decision("tiny", findings)


def test_models_with_dots_keep_their_names():
    findings = {**tr125("qwen2.5-0.5b"), **tr125("tiny")}
    assert q.models(findings) == ["qwen2.5-0.5b", "tiny"]
    assert q.benchmarks(findings, "qwen2.5-0.5b", "q8_0") == ["mmlu", "arc_challenge"]
    cells = q.compatibility(findings)
    assert cells["qwen2.5-0.5b", "q4_k_m"].outcome == "pass"
    assert cells["tiny", "q2_k"].outcome == "fail"
    assert cells["tiny", "q5_k_m"].reason == "no findings"
    assert "qwen2.5-0.5b.q4_k_m" in gates.suts(findings)


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    root = tmp_path_factory.mktemp("simulated")
    shutil.copytree(REPOSITORY / "config", root / "config")
    (root / "experiments").mkdir()
    kept = REPOSITORY / "experiments" / "tr129_agent_scaling"
    shutil.copytree(kept, root / "experiments" / kept.name)
    commit(root, tr125())
    commit(root, tr125(), depth="quick")
    return root


def run(root, *words):
    return cli.main([*words, "--machine", MACHINE, "--root", str(root)])


def quantize(root, *words):
    return run(root, "decide", "quantization", "--model", "tiny", *words)


def gate(root, *words):
    return run(root, "gate", "tr125", *words)


def test_decide_names_the_finding_behind_each_branch(committed, capsys):
    assert quantize(committed, "--risk", "moderate", "--vram", "12") == 0
    shown = capsys.readouterr().out
    assert "=> Use Q4_K_M." in shown
    assert "tr125.tiny.q4_k_m.worst.difference = -3.85 [-4.5, -3.2]" in shown
    assert "tr125.tiny.q4_k_m.composite.score" in shown
    assert "Q2_K is in no branch" in shown
    assert quantize(committed, "--risk", "high", "--vram", "12") == 0
    assert "tr125.tiny.params = 1.35e+08 (no interval)" in capsys.readouterr().out
    assert quantize(committed, "--risk", "high", "--vram", "0.3", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["best"] == "Use Q8_0."
    rests = [step["finding"]["finding"] for step in found["steps"][1:]]
    assert rests == [
        "tr125.tiny.params",
        "tr125.tiny.q8_0.worst.difference",
        "tr125.tiny.q8_0.file_bytes",
    ]
    levels = {row["level"]: row for row in found["levels"]}
    assert levels["q8_0"]["tier"] == "negligible"
    assert levels["q3_k_s"]["compatible"] == "fail"
    assert levels["q3_k_s"]["touches"] == ["concerning", "unacceptable"]


def test_decide_at_quick_depth_decides_nothing(committed, capsys):
    quick = ["--overrides", '{"depth": "quick"}']
    assert quantize(committed, "--risk", "moderate", "--vram", "12", *quick) == 0
    shown = capsys.readouterr().out
    assert "Undecided between" in shown
    assert "exploratory" in shown


@pytest.mark.parametrize("words", [["decide", "quantization"], ["gate", "tr125"]])
def test_help_teaches_with_an_example(words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--help"])
    assert stop.value.code == 0
    assert f"for example:\n  inferometer {' '.join(words)}" in capsys.readouterr().out


def test_decide_refuses_what_it_does_not_know(committed, capsys):
    words = ["decide", "quantization", "--risk", "high", "--vram", "12", "--model", "other"]
    assert run(committed, *words) == 1
    assert "it has: tiny" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        quantize(committed, "--risk", "high", "--vram", "-1")
    assert "no number of GB above 0" in capsys.readouterr().err


def test_gate_tells_pass_fail_and_undecided_by_its_status(committed, capsys):
    sut = ["--sut", "tiny.q4_k_m"]
    assert gate(committed, "--application", "general", *sut) == 0
    assert "composite >= 0.5: pass" in capsys.readouterr().out
    assert gate(committed, "--application", "general", "--sut", "tiny.q2_k") == 1
    assert gate(committed, "--application", "general") == 1
    assert gate(committed, "--application", "chatbot", *sut, "--json") == 3
    found = json.loads(capsys.readouterr().out.partition("=> fail\n{")[2].join(["{", ""]))
    outcomes = {row["metric"]: row["outcome"] for row in found["metrics"]}
    assert outcomes == {"composite": "pass", "mmlu": "pass", "arc_challenge": "undecided"}
    assert found["metrics"][0]["finding"]["finding"] == "tr125.tiny.q4_k_m.composite.score"


def test_gate_says_which_finding_is_missing(committed, capsys):
    assert gate(committed, "--application", "summarization-text", "--sut", "tiny.q8_0") == 3
    shown = capsys.readouterr().out
    assert "rouge_l >= 0.45: undecided; no finding" in shown
    assert "tr125.tiny.q8_0.bertscore_f1-roberta-large-l17.score" in shown


def test_gate_at_quick_depth_is_undecided(committed, capsys):
    quick = ["--overrides", '{"depth": "quick"}']
    assert gate(committed, "--application", "general", "--sut", "tiny.q2_k", *quick) == 3
    assert "decides nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--application", "poetry"], "it has: general, quality-critical, chatbot"),
        (["--application", "qa", "--sut", "tiny.q9"], "has: tiny.q8_0, tiny.q4_k_m"),
    ],
)
def test_wrong_use_of_gate_is_status_2(committed, capsys, words, message):
    assert gate(committed, *words) == 2
    assert message in capsys.readouterr().err


def test_gate_without_findings_says_which_report_would_tell(committed, capsys):
    words = ["gate", "tr125", "--application", "qa", "--root", str(committed)]
    assert cli.main([*words, "--machine", "another-1c-1g-000000"]) == 2
    message = capsys.readouterr().err
    assert "snakemake reports/tr125.md" in message
    assert f"{MACHINE} (standard)" in message


def test_the_shipped_gates_all_have_sources():
    found = gates.load(REPOSITORY / gates.GATES_FILE)
    assert found.application("medical-legal").bounds["mmlu"].at_least == 0.55
    assert all(b.source for app in found.applications.values() for b in app.bounds.values())


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ({"at_least": 0.5}, "source is missing"),
        ({"source": "x"}, "either at_least or at_most"),
        ({"at_least": 0.5, "at_most": 0.6, "source": "x"}, "either at_least or at_most"),
        ({"at_leest": 0.5, "source": "x"}, "unknown key"),
    ],
)
def test_a_wrong_gate_is_named(tmp_path, bound, message):
    path = tmp_path / "gates.yaml"
    content = {"title": "t", "bounds": {"mmlu": bound}}
    path.write_text(yaml.safe_dump({"schema_version": 1, "applications": {"own": content}}))
    with pytest.raises(UserError, match=message) as error:
        gates.load(path)
    assert "applications.own.bounds.mmlu" in str(error.value)


def test_a_bound_may_name_another_finding_and_its_unit():
    bound = {"at_least": -5, "unit": "pp", "finding": "worst.difference", "source": "this test"}
    own = gates.Application.model_validate({"title": "t", "bounds": {"loss": bound}})
    assert gates.judge(own, tr125(), "tiny.q4_k_m")[0].outcome == "pass"
    assert gates.judge(own, tr125(), "tiny.q2_k")[0].outcome == "fail"
    wrong = gates.Application.model_validate(
        {"title": "t", "bounds": {"loss": bound | {"unit": ""}}}
    )
    with pytest.raises(UserError, match="write the bound in that unit"):
        gates.judge(wrong, tr125(), "tiny.q4_k_m")
