"""TR124 on sessions made by hand, with known truths; a stand-in for real runtimes."""

import shutil
from pathlib import Path

import pytest
from checkouts import REPOSITORY
from simulated import MACHINE, analysed, outcomes, placed, report, seal
from simulated_quality import ITEMS, LOAD, Truth, session

from inferometer.experiments import find
from inferometer.findings import FindingsFile

FOLDER = "experiments/tr124_quality_baseline"
SUTS = {
    "llamacpp": Truth(changes_in_batch=0.1),
    "transformers": Truth(rate=40.0),
    "llamacpp-inside": Truth(),
    "transformers-inside": Truth(),
}


def found(root: Path, suts: dict[str, Truth], depth: str = "standard") -> FindingsFile:
    """Findings of a repository with TR124 and sealed sessions of these SUTs."""
    placed(root, FOLDER)
    shutil.copytree(REPOSITORY / "config", root / "config")
    experiment = find(root)["tr124"]
    for sut, block in experiment.design.session_order(depth, list(suts)):  # type: ignore[arg-type]
        cells = experiment.design.cell_order(depth, sut, block)  # type: ignore[arg-type]
        inside = sut.endswith("-inside")
        lines = session(suts[sut], cells, block)
        seal(
            *(experiment, root, depth, sut, block, lines),
            read_back={"vocabulary": 49152} if inside else {"slots": 8},
            load=None if inside else LOAD,
        )
    return analysed(experiment, experiment.results(root, MACHINE, depth), depth)


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    root = tmp_path_factory.mktemp("tr124")
    return root, found(root, SUTS)


def test_equal_runtimes_are_shown_equal(standard):
    _, file = standard
    seen = outcomes(file)
    assert file["transformers.runtime.composite.difference"].value == 0
    for name in ("equal_composite", "equal_tokens", "repeats_llamacpp", "repeats_transformers"):
        assert seen[name] == "supported"
    assert file["llamacpp-inside.kl"].value == pytest.approx(1e-6, rel=0.1)
    assert file["llamacpp-inside.perplexity_ratio"].value == pytest.approx(1, abs=1e-6)


def test_answers_that_change_in_a_batch_are_counted(standard):
    _, file = standard
    assert outcomes(file)["batch_free_llamacpp"] == "refuted"
    assert outcomes(file)["batch_free_transformers"] == "supported"
    assert file["llamacpp.batch.same_text"].value == pytest.approx(0.9)
    assert file["llamacpp.repeat.batch8.same_text"].value == pytest.approx(0.9)


def test_letters_that_name_no_choice_are_wrong_and_told(standard):
    _, file = standard
    assert file["llamacpp.mmlu.invalid"].value == pytest.approx(0.2)
    by_letter = file["llamacpp.mmlu.score"]
    by_log_prob = file["llamacpp-inside.mmlu.score"]
    assert by_letter.value < by_log_prob.value
    assert "10 invalid" in by_letter.notes


def test_sampling_noise_is_parted_from_items(standard):
    _, file = standard
    share = file["llamacpp.sampling.within_share"]
    assert 0 < share.value < 1
    assert share.interval is not None


def test_cost_follows_the_rate_and_the_frontier_the_cost(standard):
    _, file = standard
    ratio = file["llamacpp.cost"].value / file["transformers.cost"].value
    assert ratio == pytest.approx(2, rel=0.05)
    assert file["pareto"].value == "transformers"


def test_a_runtime_that_is_worse_is_told(tmp_path):
    file = found(tmp_path, {**SUTS, "transformers": Truth(shift=-0.08)})
    assert outcomes(file)["equal_composite"] == "refuted"
    assert file["transformers.runtime.composite.difference"].interval.high < -0.02


def test_lost_answers_are_left_out_of_both_sides(tmp_path):
    file = found(tmp_path, {**SUTS, "transformers": Truth(lost=1)})
    difference = file["transformers.runtime.composite.difference"]
    assert difference.n == 3 * (ITEMS - 1)
    assert "without a value" in difference.notes


def test_what_was_not_asked_is_not_testable(tmp_path):
    why = "items of public benchmarks are in no repository"
    suts = {name: Truth(not_testable=why) for name in SUTS}
    file = found(tmp_path, suts)
    assert outcomes(file)["equal_mmlu"] == "not testable here"
    assert why in report(tmp_path / FOLDER, file)


def test_the_report_is_whole(standard):
    root, file = standard
    text = report(root / FOLDER, file)
    assert "The runtime does not change the quality" in text
    assert "otherwise than alone" in text


def test_quick_depth_gives_no_verdict(tmp_path):
    file = found(tmp_path, SUTS, "quick")
    assert not file.verdicts
    assert "Exploratory" in report(tmp_path / FOLDER, file)


def test_one_runtime_alone_is_reported(tmp_path):
    file = found(tmp_path, {"llamacpp": Truth()})
    assert outcomes(file)["equal_composite"] == "not testable here"
    report(tmp_path / FOLDER, file)
