"""TR125 on sessions made by hand, with known truths; a stand-in for real levels."""

from dataclasses import replace
from pathlib import Path

import pytest
from simulated import MACHINE, analysed, outcomes, placed, report, seal
from simulated_quality import LOAD, Truth, session

from inferometer import quantization as names
from inferometer.experiments import find
from inferometer.findings import FindingsFile

FOLDER = "experiments/tr125_quantization_matrix"
MODEL = "smollm2-135m"
ITEMS = 1000
"""Of each benchmark: enough for intervals that lie inside a tier."""
FILES = {  # level -> bits per weight, weights at a type
    "f16": (16.0, "F16"),
    "q8_0": (8.5, "Q8_0"),
    "q6_k": (8.1, "Q8_0, Q6_K"),
    "q5_k_m": (6.6, "Q5_1"),
    "q4_k_m": (6.2, "Q5_0"),
    "q3_k_s": (5.1, "IQ4_NL"),
    "q2_k": (5.1, "IQ4_NL"),
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


def lines_of(truth: Truth, level: str, inside: bool, cells, block: int) -> list[dict]:
    lines = session(truth, cells, block, ITEMS)
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
    return lines


def found(root: Path, levels: dict[str, Truth], depth: str = "standard") -> FindingsFile:
    """Findings of a repository with TR125 and sealed sessions of these levels."""
    placed(root, FOLDER)
    experiment = find(root)["tr125"]
    design = experiment.design
    for sut, block in design.session_order(depth, list(design.suts)):  # type: ignore[arg-type]
        level = design.suts[sut].label.partition(".")[2]
        if level not in levels:
            continue
        inside = sut.endswith("-inside")
        cells = design.cell_order(depth, sut, block)  # type: ignore[arg-type]
        seal(
            *(experiment, root, depth, sut, block),
            lines_of(levels[level], level, inside, cells, block),
            read_back={"vocabulary": 49152} if inside else {"slots": 1},
            load=None if inside else LOAD,
        )
    return analysed(experiment, experiment.results(root, MACHINE, depth), depth)


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    root = tmp_path_factory.mktemp("tr125")
    return root, found(root, LEVELS)


def test_tiers_are_given_where_the_interval_lies_inside(standard):
    _, file = standard
    assert file[names.tier_name(MODEL, "q8_0", "mmlu")].value == "negligible"
    assert file[names.tier_name(MODEL, "q2_k", "mmlu")].value == "unacceptable"
    assert file[names.tier_name(MODEL, "q8_0", "tasks")].value in ("negligible", "undecided")


def test_the_worst_benchmark_bounds_a_level(standard):
    _, file = standard
    worst = file[names.difference_name(MODEL, "q2_k", names.WORST)]
    each = [file[names.difference_name(MODEL, "q2_k", b)] for b in ("mmlu", "arc_challenge")]
    assert worst.value <= min(one.value for one in each)
    assert outcomes(file)["q2_k_fails"] == "supported"


def test_tokens_tell_levels_apart_where_answers_cannot(standard):
    _, file = standard
    assert file[names.perplexity_name(MODEL, "q8_0")].value == pytest.approx(1.0001, abs=1e-5)
    seen = outcomes(file)
    assert seen["q8_tokens"] == seen["q4_k_m_tokens"] == seen["cliff"] == "supported"
    kl = [file[names.kl_name(MODEL, level)].value for level in ("q8_0", "q4_k_m", "q3_k_s")]
    assert kl == sorted(kl)


def test_size_and_speed(standard):
    _, file = standard
    assert outcomes(file)["nominal_bits"] == "refuted"
    assert outcomes(file)["q4_k_m_faster"] == "supported"
    assert file[f"{MODEL}.q4_k_m.speed_ratio"].value == pytest.approx(2, rel=0.05)
    assert file[f"{MODEL}.q4_k_m.resident"].value == 200
    assert file[f"{MODEL}.q2_k.coincides"].value == f"{MODEL}.q3_k_s"
    assert file[names.params_name(MODEL)].value == 134_515_008


def test_the_tree_walks_on_the_findings(standard):
    _, file = standard
    (decision,) = file.decisions
    assert decision.id == names.decision_id(MODEL)


def test_a_copy_under_another_name_is_the_same(tmp_path):
    file = found(tmp_path, {**LEVELS, "q6_k": replace(LEVELS["f16"], rate=40)})
    assert file[names.difference_name(MODEL, "q6_k", "mmlu")].value == 0
    assert file[names.tier_name(MODEL, "q6_k", "mmlu")].value == "negligible"
    assert file[names.kl_name(MODEL, "q6_k")].value == 0


def test_without_benchmarks_nothing_is_claimed_of_the_worst(tmp_path):
    why = "items of public benchmarks are in no repository"
    file = found(tmp_path, {n: replace(t, not_testable=why) for n, t in LEVELS.items()})
    worst = file[names.difference_name(MODEL, "q8_0", names.WORST)]
    assert worst.value is None
    assert outcomes(file)["q8_keeps"] == "not testable here"
    assert why in report(tmp_path / FOLDER, file)


def test_without_a_baseline_levels_are_compared_with_nothing(tmp_path):
    file = found(tmp_path, {"q8_0": LEVELS["q8_0"]})
    assert names.difference_name(MODEL, "q8_0", "mmlu") not in file
    assert not file.decisions


def test_the_report_is_whole(standard):
    root, file = standard
    text = report(root / FOLDER, file)
    assert "Which quantization level" in text


def test_quick_depth_gives_no_verdict(tmp_path):
    file = found(tmp_path, LEVELS, "quick")
    assert not file.verdicts
    assert "Exploratory" in report(tmp_path / FOLDER, file)
