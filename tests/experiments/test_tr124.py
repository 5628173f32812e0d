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


def found(
    root: Path, suts: dict[str, Truth], depth: str = "standard", without: tuple[str, ...] = ()
) -> FindingsFile:
    """Findings of a repository with TR124 and sealed sessions of these SUTs and their phases."""
    placed(root, FOLDER)
    shutil.copytree(REPOSITORY / "config", root / "config")
    experiment = find(root)["tr124"]
    for sut, block in experiment.design.session_order(depth, list(suts)):  # type: ignore[arg-type]
        cells = experiment.design.cell_order(depth, sut, block)  # type: ignore[arg-type]
        cells = [cell for cell in cells if cell.phase not in without]
        if not cells:
            continue
        inside = sut.endswith("-inside")
        lines = session(suts[sut], cells, block)
        seal(
            *(experiment, root, depth, sut, block, lines),
            read_back={"vocabulary": 49152} if inside else {"slots": 8},
            load=None if inside else LOAD,
        )
    return analysed(experiment, experiment.results(root, MACHINE, depth), depth)


def ids(file: FindingsFile) -> list[str]:
    return [finding.id for finding in file.findings]


def verdict_of(file: FindingsFile, name: str):
    return next(verdict for verdict in file.verdicts if verdict.hypothesis == name)


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    root = tmp_path_factory.mktemp("tr124")
    return root, found(root, SUTS)


def test_equal_runtimes_are_shown_equal(standard):
    _, file = standard
    seen = outcomes(file)
    gap = file["transformers.runtime.composite.difference"]
    assert (gap.value, gap.interval, gap.n) == (0, None, 3 * ITEMS)
    for name in ("equal_tokens", "repeats_llamacpp", "repeats_transformers"):
        assert seen[name] == "supported"
    # no item differs, and that so many should not is still too likely after Holm's correction
    composite = verdict_of(file, "equal_composite")
    assert (composite.outcome, composite.p) == ("inconclusive", pytest.approx(0.98 ** (3 * ITEMS)))
    assert file["transformers.runtime.same_prompt"].value == 1
    assert file["llamacpp-inside.kl"].value == pytest.approx(1e-6, rel=0.1)
    assert file["llamacpp-inside.perplexity_ratio"].value == pytest.approx(1, abs=1e-6)


def test_too_few_items_show_no_equality_of_accuracies(standard):
    _, file = standard
    for benchmark in ("mmlu", "arc_challenge"):
        verdict = verdict_of(file, f"equal_{benchmark}")
        assert verdict.outcome == "inconclusive"
        assert verdict.p_adjusted >= verdict.p > 0.05
        gap = file[f"inside.{benchmark}.accuracy.difference"]
        assert (gap.value, gap.unit) == (0, "pp")
        assert gap.interval.low < -2 < 2 < gap.interval.high
        apart = file[f"inside.{benchmark}.apart"]
        assert (apart.value, apart.n) == (0, gap.n)
        assert file[f"inside.{benchmark}.same_choice"].value == 1
        assert file[f"inside.{benchmark}.kappa"].value == 1


def test_items_are_paired_and_metrics_are_one_family(tmp_path):
    file = found(tmp_path, {**SUTS, "transformers": Truth(scatter=0.02, prompt_tokens=21)})
    assert outcomes(file)["equal_composite"] == "supported"
    gap, alone = file["transformers.runtime.rouge_l.difference"], file["llamacpp.rouge_l.score"]
    assert gap.interval.high - gap.interval.low < (alone.interval.high - alone.interval.low) / 3
    verdict = verdict_of(file, "equal_composite")
    assert (verdict.outcome, verdict.p is None) == ("supported", False)
    assert file["transformers.runtime.same_prompt"].value == 0
    assert file["transformers.runtime.rouge_l.alike"].value == "yes"
    assert file["transformers.runtime.accuracy.alike"].value == "not shown"
    assert "adjusted" in file["transformers.runtime.rouge_l.alike"].notes
    assert "transformers.runtime.length_words.alike" not in file  # words have no margin


def test_items_that_a_tokenizer_cuts_otherwise_are_counted(tmp_path):
    file = found(tmp_path, {**SUTS, "transformers-inside": Truth(cut_otherwise=2)})
    apart = file["inside.mmlu.apart"]
    assert (apart.value, apart.n) == (2 / ITEMS, ITEMS)


def test_answers_that_change_in_a_batch_are_counted(standard):
    _, file = standard
    assert outcomes(file)["batch_free_llamacpp"] == "refuted"
    assert outcomes(file)["batch_free_transformers"] == "supported"
    assert file["llamacpp.batch.same_text"].value == pytest.approx(0.9)
    assert file["llamacpp.repeat.batch8.same_text"].value == pytest.approx(0.9)


def test_answers_that_change_when_repeated_refute(tmp_path):
    file = found(tmp_path, {**SUTS, "transformers": Truth(changes_when_repeated=0.02)})
    assert outcomes(file)["repeats_transformers"] == "refuted"
    assert outcomes(file)["batch_free_transformers"] == "supported"


def test_letters_that_name_no_choice_are_wrong_and_told(standard):
    _, file = standard
    assert file["llamacpp.mmlu.invalid"].value == pytest.approx(0.2)
    by_letter = file["llamacpp.mmlu.score"]
    by_log_prob = file["llamacpp-inside.mmlu.score"]
    assert by_letter.n == by_log_prob.n == ITEMS
    assert by_letter.value < by_log_prob.value
    assert "10 invalid" in by_letter.notes


def test_the_gate_of_summaries_is_asked_of_summaries(standard):
    _, file = standard
    assert verdict_of(file, "published_rouge").findings == ["llamacpp.summarization-rouge_l.score"]
    assert file["llamacpp.summarization-rouge_l.score"].n == ITEMS
    assert outcomes(file)["published_composite"] == "supported"


def test_sampling_noise_is_parted_from_items(standard):
    _, file = standard
    share = file["llamacpp.sampling.within_share"]
    assert 0 < share.interval.low < share.value < share.interval.high < 0.5
    assert outcomes(file)["noise_small"] == "supported"
    # summaries have two metrics with noise .1, question answering one of two, classes none
    within = (0.1**2 / 2 + 0.1**2 / 4 + 0) / 3
    assert file["llamacpp.sampling.within"].value == pytest.approx(within, rel=0.4)


def test_cost_follows_the_rate_and_the_frontier_the_cost(standard):
    _, file = standard
    ratio = file["llamacpp.cost"].value / file["transformers.cost"].value
    assert ratio == pytest.approx(2, rel=0.05)
    assert file["llamacpp.cost"].n == 7
    assert file["pareto"].value == "transformers"


def test_a_runtime_that_is_worse_is_told(tmp_path):
    file = found(tmp_path, {**SUTS, "transformers": Truth(shift=-0.08)})
    assert outcomes(file)["equal_composite"] == "refuted"
    assert file["transformers.runtime.composite.difference"].interval.high < -0.02
    # every summary loses the same: without an interval nothing is claimed
    assert file["transformers.runtime.rouge_l.difference"].interval is None
    assert file["transformers.runtime.rouge_l.alike"].value == "not shown"
    assert "The runtime changes the quality" in report(tmp_path / FOLDER, file)


def test_lost_answers_are_left_out_of_both_sides(tmp_path):
    file = found(tmp_path, {**SUTS, "transformers": Truth(lost=1)})
    difference = file["transformers.runtime.composite.difference"]
    assert difference.n == 3 * (ITEMS - 1)
    assert "without a value" in difference.notes
    same = file["transformers.runtime.same_text"]
    assert (same.value, same.n) == (1, 3 * (ITEMS - 1))
    assert "3 items not answered on both sides" in same.notes


def test_what_was_not_asked_is_not_testable(tmp_path):
    why = "items of public benchmarks are in no repository"
    suts = {name: Truth(not_testable=why) for name in SUTS}
    file = found(tmp_path, suts)
    assert outcomes(file)["equal_mmlu"] == "not testable here"
    assert why in report(tmp_path / FOLDER, file)


def test_faulty_items_and_metrics_without_a_value_are_told(tmp_path):
    truth = Truth(faulty=2, no_encoder="bert-score 0.3.13 cannot be had")
    file = found(tmp_path, {"llamacpp": truth, "transformers": truth})
    text = report(tmp_path / FOLDER, file)
    assert "`bert-score 0.3.13 cannot be had`" in text
    assert "`2` faulty items of `qa` were left out." in text
    assert not [name for name in ids(file) if "bertscore" in name and "difference" in name]
    assert file["llamacpp.composite.score"].n == 3 * ITEMS


def test_a_runtime_without_valid_answers_is_compared_with_nothing(tmp_path):
    broken = Truth(broken_alone="9 of 150 items have no answer")
    file = found(tmp_path, {"llamacpp": broken, "transformers": Truth()})
    assert outcomes(file)["equal_composite"] == "not testable here"
    assert outcomes(file)["published_composite"] == "not testable here"
    assert file["llamacpp.composite.score"].value is None
    assert file["llamacpp.repeat.batch8.same_text"].value == 1
    text = report(tmp_path / FOLDER, file)
    assert "9 of 150 items have no answer" in text
    assert "| qa, `token_f1` | – |" in text


def test_phases_that_were_not_measured_leave_no_claim(tmp_path):
    file = found(tmp_path, SUTS, without=("sampled", "speed", "choices", "texts"))
    seen = outcomes(file)
    for name in ("noise_small", "equal_tokens", "equal_mmlu"):
        assert seen[name] == "not testable here"
    assert seen["equal_composite"] == "supported"
    assert "price" not in file
    assert report(tmp_path / FOLDER, file).count("Not measured here.") == 3


def test_the_report_is_whole(standard):
    root, file = standard
    text = report(root / FOLDER, file)
    assert "these items do not show whether the runtime changes" in text
    assert "otherwise than alone" in text
    results = text.partition("## Results")[2].partition("## Decision rules")[0]
    assert "|\n\n|" not in results  # a blank line would end a table
    assert set(file.figures) == {"composite.svg", "quality_cost.svg"}


def test_quick_depth_gives_no_verdict(tmp_path):
    file = found(tmp_path, SUTS, "quick")
    assert not file.verdicts
    assert not [name for name in ids(file) if name.endswith(".alike")]
    text = report(tmp_path / FOLDER, file)
    assert "Exploratory" in text
    assert "does not change the quality" not in text


def test_one_runtime_alone_is_reported(tmp_path):
    file = found(tmp_path, {"llamacpp": Truth()})
    assert outcomes(file)["equal_composite"] == "not testable here"
    assert "are not compared" in report(tmp_path / FOLDER, file)


def test_libraries_alone_are_reported(tmp_path):
    file = found(tmp_path, {name: truth for name, truth in SUTS.items() if "inside" in name})
    assert outcomes(file)["equal_tokens"] == "supported"
    assert "No answers were scored here." in report(tmp_path / FOLDER, file)
