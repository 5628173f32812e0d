"""TR125 on sessions made by hand, with known truths; a stand-in for real levels."""

import shutil
from dataclasses import replace
from math import sin
from pathlib import Path

import numpy as np
import pytest
from checkouts import REPOSITORY
from simulated import MACHINE, analysed, outcomes, placed, report, seal
from simulated_quality import LOAD, Truth, score, session

from inferometer import cli
from inferometer import config as configuration
from inferometer import quantization as names
from inferometer.experiments import find
from inferometer.findings import FindingsFile
from inferometer.reporting import decisions

FOLDER = "experiments/tr125_quantization_matrix"
MODEL = "smollm2-135m"
ITEMS = 300
"""Of each benchmark: enough for intervals that lie inside a tier."""
FEW = 30  # where a test asks for no tier
FILES = {  # level -> bits per weight, weights at a type
    "f16": (16.0, "F16"),
    "q8_0": (8.5, "Q8_0"),
    "q6_k": (8.1, "Q8_0, Q6_K"),
    "q5_k_m": (6.6, "Q5_1"),
    "q4_k_m": (6.2, "Q5_0"),
    "q3_k_s": (5.1, "IQ4_NL"),
    "q2_k": (5.1, "IQ4_NL"),
    "q4_0": (4.9, "Q4_0"),
}
LEVELS = {
    "f16": Truth(rate=40, kl=0),
    "q8_0": Truth(rate=60, kl=1e-4, worse=1e-4),
    "q6_k": Truth(rate=65, kl=2e-4, worse=2e-4),
    "q5_k_m": Truth(rate=70, kl=1e-3, worse=1e-3),
    "q4_k_m": Truth(rate=80, kl=2e-3, worse=0.02, wrong=0.02),
    "q3_k_s": Truth(rate=85, kl=5e-2, worse=0.3, wrong=0.15),
    "q2_k": Truth(rate=85, kl=5e-2, worse=0.3, wrong=0.5),
}


def lines_of(truth: Truth, level: str, inside: bool, cells, block: int, items: int) -> list[dict]:
    lines = session(truth, cells, block, items)
    for number, line in enumerate(line for line in lines if line["kind"] == "text"):
        line["nll"] += truth.worse * line["tokens"] * 0.3 * sin(number)  # texts differ
        if level == "f16":  # nothing stands beside it
            line.update(reference_nll=None)
            del line["kl"], line["same_top"]
    if inside and block == 0:
        bits, types = FILES[level]
        size = int(bits * 134_515_008 / 8)
        lines.insert(
            0,
            {
                **{"kind": "file", "artifact": level, "file_bytes": size, "file_sha256": level},
                **{"weights": 134_515_008, "bits_per_weight": bits, "types_sha256": types},
                **{"types": types, "fallback_tensors": 7},
            },
        )
    if not inside:
        speed = [i for i, cell in enumerate(cells) if cell.phase == "speed"]
        held = {"kind": "memory", "resident_bytes": 200 * 2**20}
        lines += [{**held, "cell": index} for index in speed]
        asked = [i for i, cell in enumerate(cells) if cell.phase == "answers"]
        said = {"status": "not testable here", "reason": "no encoder here"}
        lines += [score(i, "summarization", "s0", "coherence", None, **said) for i in asked]
    return lines


def found(
    root: Path,
    levels: dict[str, Truth],
    depth: str = "standard",
    items: int = FEW,
    suts: dict | None = None,
    leave_out: tuple[str, ...] = (),
) -> FindingsFile:
    """Findings of a repository with TR125 and sealed sessions of these levels."""
    placed(root, FOLDER)
    config = configuration.validate(
        {"experiments": {"tr125": {"suts": suts or {}}}}, known=["tr125"]
    )
    experiment = find(root, config)["tr125"]
    design = experiment.design
    for sut, block in design.session_order(depth, list(design.suts)):  # type: ignore[arg-type]
        level = design.suts[sut].label.rpartition(".")[2]
        if level not in levels or sut in leave_out:
            continue
        inside = sut.endswith("-inside")
        cells = design.cell_order(depth, sut, block)  # type: ignore[arg-type]
        seal(
            *(experiment, root, depth, sut, block),
            lines_of(levels[level], level, inside, cells, block, items),
            read_back={"vocabulary": 49152} if inside else {"slots": 1},
            load=None if inside else LOAD,
        )
    return analysed(experiment, experiment.results(root, MACHINE, depth), depth)


def difference(file: FindingsFile, level: str, benchmark: str):
    return file[names.difference_name(MODEL, level, benchmark)]


def some(*levels: str) -> dict[str, Truth]:
    return {level: LEVELS[level] for level in levels}


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    root = tmp_path_factory.mktemp("tr125")
    return root, found(root, LEVELS, items=ITEMS)


def test_tiers_are_given_where_the_interval_lies_inside(standard):
    _, file = standard
    assert file[names.tier_name(MODEL, "q8_0", "mmlu")].value == "negligible"
    assert file[names.tier_name(MODEL, "q2_k", "mmlu")].value == "unacceptable"
    assert file[names.tier_name(MODEL, "q3_k_s", "tasks")].value == "undecided"


def test_the_worst_benchmark_bounds_a_level(standard):
    _, file = standard
    worst = difference(file, "q2_k", names.WORST)
    each = [difference(file, "q2_k", b) for b in ("mmlu", "arc_challenge", "tasks")]
    assert worst.value == min(one.value for one in each)
    assert worst.interval.low == min(one.interval.low for one in each)
    assert worst.interval.high == min(one.interval.high for one in each)
    assert all(one.interval.confidence == pytest.approx(1 - 0.05 / 3) for one in each)
    seen = [outcomes(file)[name] for name in ("q8_keeps", "q4_k_m_keeps", "q2_k_fails")]
    # without one lost item, the 150 of `tasks` cannot show that less than 2 points are lost
    assert seen == ["inconclusive", "inconclusive", "supported"]
    for level, expected in {"q8_0": "pass", "q4_k_m": "undecided", "q2_k": "fail"}.items():
        assert file[names.compatible_name(MODEL, level)].value == expected


def test_items_are_compared_with_the_same_items_of_the_baseline(standard):
    _, file = standard
    q2 = difference(file, "q2_k", "arc_challenge")
    lost, gained = (
        file[f"{MODEL}.q2_k.arc_challenge.{which}"].value for which in ("lost", "gained")
    )
    assert gained == 0
    assert q2.value == pytest.approx(-100 * lost / ITEMS)
    assert "Newcombe" in q2.estimator
    assert "clusters" in difference(file, "q2_k", "mmlu").estimator  # subjects
    assert file[f"{MODEL}.q2_k.mmlu.changed_p"].value < 0.05
    assert file[f"{MODEL}.q8_0.mmlu.changed_p"].value == 1
    assert file[f"{MODEL}.q8_0.mmlu.same_p"].value < 0.05
    assert file[f"{MODEL}.q2_k.mmlu.same_p"].value == 1


def test_tokens_tell_levels_apart_where_answers_cannot(standard):
    _, file = standard
    for level in ("q8_0", "q4_k_m", "q3_k_s"):
        ratio = file[names.perplexity_name(MODEL, level)]
        assert ratio.interval.low < np.exp(LEVELS[level].worse) < ratio.interval.high
        assert ratio.n_of == "texts"
    seen = outcomes(file)
    assert seen["q8_tokens"] == seen["q4_k_m_tokens"] == seen["cliff"] == "supported"
    cliff = file[f"{MODEL}.cliff"]
    step = {level: LEVELS[level].kl for level in ("q8_0", "q4_k_m", "q3_k_s")}
    truth = step["q3_k_s"] - 2 * step["q4_k_m"] + step["q8_0"]
    assert cliff.interval.low < truth < cliff.interval.high
    assert names.perplexity_name(MODEL, "f16") not in file


def test_picks_tell_levels_apart_right_or_wrong(standard):
    _, file = standard
    for benchmark in ("mmlu", "arc_challenge"):
        kappas = [file[f"{MODEL}.{level}.{benchmark}.kappa"] for level in ("q8_0", "q2_k")]
        assert kappas[0].value > kappas[1].value
        assert f"{MODEL}.f16.{benchmark}.kappa" not in file
        assert 0 < file[f"{MODEL}.f16.{benchmark}.modal_choice"].value < 1


def test_no_cliff_where_divergence_grows_evenly(tmp_path):
    even = Truth(rate=85, kl=2.5e-3, worse=0.02)
    levels = {**some("f16", "q8_0", "q4_k_m"), "q3_k_s": even}
    assert outcomes(found(tmp_path, levels))["cliff"] == "refuted"


def test_size_and_speed(standard):
    _, file = standard
    assert outcomes(file)["nominal_bits"] == "refuted"
    assert outcomes(file)["q4_k_m_faster"] == "supported"
    ratio = file[f"{MODEL}.q4_k_m.speed_ratio"]
    assert ratio.interval.low < 2 < ratio.interval.high
    assert file[f"{MODEL}.q4_k_m.resident"].value == 200
    assert file[f"{MODEL}.q2_k.coincides"].value == f"{MODEL}.q3_k_s"
    assert file[names.params_name(MODEL)].value == 134_515_008
    assert file[names.bytes_name(MODEL, "q8_0")].unit == "B"


def test_the_tree_walks_on_the_findings(standard):
    _, file = standard
    (tree,) = file.decisions
    assert tree.id == names.decision_id(MODEL)
    case = {"risk": names.RISKS["low"], "vram_gb": 1.0}
    assert names.ADVICE["q3_k_s"] not in decisions.walk(tree, case).advice


def test_the_verbs_read_these_findings(standard, capsys):
    root, file = standard
    shutil.copytree(REPOSITORY / "config", root / "config")
    file.save(root / "results" / MACHINE / "tr125" / "findings.json")
    where = ["--machine", MACHINE, "--root", str(root)]
    case = ["--risk", "high", "--vram", "12", "--model", MODEL]
    assert cli.main(["decide", "quantization", *case, *where]) == 0
    shown = capsys.readouterr().out
    assert "=> Use F16." in shown
    assert "q8_0: pass; negligible" in shown
    gate = ["gate", "tr125", "--application", "chatbot", *where]
    assert cli.main([*gate, "--sut", f"{MODEL}.q4_k_m"]) == 0
    assert "arc_challenge >= 0.35: pass" in capsys.readouterr().out
    assert cli.main([*gate, "--sut", f"{MODEL}.q2_k"]) == 1


def test_a_copy_under_another_name_is_the_same(tmp_path):
    file = found(tmp_path, {"f16": LEVELS["f16"], "q6_k": LEVELS["f16"]}, items=ITEMS)
    assert difference(file, "q6_k", "mmlu").value == 0
    assert file[names.tier_name(MODEL, "q6_k", "mmlu")].value == "negligible"
    assert file[names.kl_name(MODEL, "q6_k")].value == 0


def test_without_benchmarks_nothing_is_claimed_of_the_worst(tmp_path):
    why = "items of public benchmarks are in no repository"
    levels = some("f16", "q8_0", "q2_k")
    file = found(tmp_path, {n: replace(t, not_testable=why) for n, t in levels.items()})
    worst = difference(file, "q2_k", names.WORST)
    assert worst.value is None
    assert "arc_challenge, mmlu" in worst.reason
    assert difference(file, "q2_k", "tasks").value < 0
    seen = outcomes(file)
    assert seen["q8_keeps"] == seen["q2_k_fails"] == "not testable here"
    assert seen["q8_tokens"] == "supported"
    (tree,) = file.decisions
    assert len(decisions.advice(tree)) > 1
    assert file[names.compatible_name(MODEL, "q8_0")].value == "undecided"
    assert why in report(tmp_path / FOLDER, file)


def test_without_a_baseline_levels_are_compared_with_nothing(tmp_path):
    file = found(tmp_path, {"q8_0": LEVELS["q8_0"]})
    assert names.difference_name(MODEL, "q8_0", "mmlu") not in file
    worst = difference(file, "q8_0", names.WORST)
    assert (worst.value, worst.reason) == (None, "the baseline was not measured here")
    assert outcomes(file)["q8_keeps"] == "not testable here"
    assert "has no baseline here" in report(tmp_path / FOLDER, file)
    assert file[names.params_name(MODEL)].value == 134_515_008


def test_a_level_that_was_not_measured_leaves_its_branch_open(tmp_path):
    file = found(tmp_path, some("f16", "q8_0", "q4_k_m"), leave_out=(f"{MODEL}-q8-0-inside",))
    worst = difference(file, "q3_k_s", names.WORST)
    assert (worst.value, worst.reason, worst.n) == (None, "Q3_K_S was not measured here", 0)
    assert file[names.bytes_name(MODEL, "q8_0")].reason == "its file was not read"
    assert set(names.required(MODEL)) <= {one.id for one in file.findings}
    assert outcomes(file)["cliff"] == "not testable here"
    (tree,) = file.decisions
    case = {"risk": names.RISKS["low"], "vram_gb": 1.0}
    assert names.ADVICE["q3_k_s"] in decisions.walk(tree, case).advice
    assert "levels without measurements: `q6_k, q5_k_m, q3_k_s, q2_k`" in report(
        tmp_path / FOLDER, file
    )


def test_a_level_that_a_configuration_adds_is_in_every_table(tmp_path):
    suts = {
        "mine": {
            **{"stack": "llamacpp", "artifact": "mine", "label": f"{MODEL}.q4_0"},
            "like": f"{MODEL}-q4-k-m",
        },
        "mine-inside": {
            **{"stack": "llamacpp_inprocess", "artifact": "mine", "label": f"{MODEL}.q4_0"},
            "companion": {"stack": "llamacpp_inprocess", "artifact": "other"},
            "like": f"{MODEL}-q4-k-m-inside",
        },
    }
    levels = {**some("f16", "q8_0"), "q4_0": replace(LEVELS["q4_k_m"], wrong=0.6)}
    file = found(tmp_path, levels, suts=suts)
    by_id = {one.id: one for one in file.findings}
    assert names.compatibility(by_id)[MODEL, "q4_0"].outcome == "fail"
    text = report(tmp_path / FOLDER, file)
    assert "`smollm2-135m.q4_0` is read token by token beside `other`, not its baseline" in text
    rows = [line for line in text.splitlines() if "| `q4_0` |" in line]
    assert len(rows) == 9  # overview, three benchmarks, picks of two, letters, tokens, files


def test_the_report_is_whole(standard):
    root, file = standard
    text = report(root / FOLDER, file)
    assert "Whether Q8_0 keeps the quality" in text
    assert "Whether Q4_K_M stays acceptable is not decided." in text
    assert "`coherence` has no value: `no encoder here`" in text
    assert set(file.figures) == {f"{MODEL}-{which}.svg" for which in ("loss", "tokens", "speed")}


def test_a_baseline_that_answers_by_place_is_told_in_the_answer(standard, tmp_path):
    root, file = standard
    said = "say little of smollm2-135m"
    assert said not in report(root / FOLDER, file)
    levels = some("f16", "q8_0")
    file = found(tmp_path, {**levels, "f16": replace(levels["f16"], place=0)})
    answer = report(tmp_path / FOLDER, file).partition("## Hypotheses")[0]
    assert "Right answers on MMLU " + said in answer
    assert "mmlu.modal_choice)" in answer


def test_quick_depth_gives_no_verdict(tmp_path):
    file = found(tmp_path, some("f16", "q8_0", "q2_k"), "quick")
    assert not file.verdicts
    text = report(tmp_path / FOLDER, file)
    assert "Exploratory" in text
    assert not {"negligible", "unacceptable"} & set(text.partition("## Results")[2].split("|"))
    assert "open at this depth" in text
