"""TR131 on sessions made by hand, whose truth is known; a stand-in for real workers and servers."""

from dataclasses import replace

import pytest
from profilers.simulated import Truth, found
from simulated import outcomes, report

FOLDER = "experiments/tr131_kernel_profile"
TOKENS = 10
SUTS = {
    "llamacpp-serial": Truth(step_s=0.01, served=True, missing="llamacpp offers no profiler"),
    "serial": Truth(),
    "threads": Truth(shared=0.3, shared_calls=0.0, overlap=True),
    "processes": Truth(shared=0.4, shared_calls=0.0, overlap=True),
    "batch": Truth(shared=0.9, shared_calls=1.0, batched=True),
    "continuous": Truth(shared=0.85, shared_calls=0.95, batched=True),
}


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    root = tmp_path_factory.mktemp("tr131")
    return root, found(root, FOLDER, SUTS)


def test_rates_and_efficiencies_are_the_truth(standard):
    _, file = standard
    for sut, truth in SUTS.items():
        for n in (1, 2, 4, 8):
            rate = n * TOKENS / truth.seconds(n, TOKENS)
            assert file[f"{sut}.rate.n{n}"].value == pytest.approx(rate, rel=0.03)
            assert file[f"{sut}.per_agent.n{n}"].value == pytest.approx(rate / n, rel=0.03)
        eta = truth.seconds(1, TOKENS) / truth.seconds(8, TOKENS)
        seen = file[f"{sut}.eta.n8"]
        assert seen.value == pytest.approx(eta, rel=0.02)
        assert seen.interval.low < eta < seen.interval.high
        assert seen.n == 7
    assert file["serial.eta.n8"].rows.count == 14
    assert file["serial.s_per_token.n8"].value == pytest.approx(0.04, rel=0.03)


def test_calls_amortization_and_overhead(standard):
    _, file = standard
    assert file["serial.operators.n8"].value == 1000
    assert file["serial.operators_decode.n8"].value == 1000
    assert file["batch.operators.n8"].value == 125
    assert file["serial.amortization.n8"].value == 1
    assert file["batch.amortization.n8"].value == 8
    assert file["batch.amortized_share.n8"].value == 1
    assert file["batch.change.n8"].value == pytest.approx(-7 / 8)
    assert file["continuous.amortization.n8"].value == pytest.approx(
        1 / (0.95 / 8 + 0.05), rel=0.01
    )
    assert file["serial.overhead.n8"].value == pytest.approx(1.2, rel=0.01)
    assert file["serial.class.gemm.n1"].value == pytest.approx(0.6 * 0.04 * 1.2, rel=0.03)
    assert file["processes.max_concurrency.n8"].value == 8
    kernels = file["serial.kernels"]
    assert kernels.value is None
    assert "no device was traced" in kernels.reason
    assert all(f.rows.count > 0 or f.value in (None, 0) for f in file.findings)


def test_bytes_per_token_are_said_to_be_arithmetic(standard):
    _, file = standard
    kv = 2 * 30 * 3 * 64 * 4 * (32 + TOKENS / 2)
    assert file["serial.bytes.n8"].value == 538_060_032 + kv
    assert file["batch.bytes.n8"].value == 538_060_032 / 8 + kv
    assert "arithmetic" in file["batch.bytes.n8"].notes
    assert "not testable here" in file["batch.bytes_counted"].reason


def test_the_artefact_is_the_ratio_of_token_counts(standard):
    root, file = standard
    shown = [file[f"artefact.load{load}"].value for load in (0, 1, 10, 100)]
    assert shown[0] == 1
    assert shown == sorted(shown)
    assert shown[3] == pytest.approx(8, rel=0.01)
    assert file["artefact.tokens"].value == 8
    assert "How not to compute it" in report(root / FOLDER, file)


def test_verdicts_decision_and_report(standard):
    root, file = standard
    seen = outcomes(file)
    for name in ("server_falls", "serial_falls", "threads_fall", "processes_fall", "batch_falls"):
        assert seen[name] == "supported"
    assert seen["same_without_server"] == "supported"
    assert seen["batch_beats_processes"] == seen["batch_beats_threads"] == "supported"
    assert seen["serial_shares_nothing"] == seen["batch_shares_calls"] == "supported"
    assert seen["continuous_published"] == "refuted"
    assert seen["threads_overlap"] == seen["processes_overlap"] == "supported"
    assert seen["profiling_harmless_serial"] == seen["profiling_harmless_batch"] == "refuted"
    (decision,) = file.decisions
    assert decision.root.holds is True
    assert decision.root.yes.holds is True
    assert decision.root.yes.yes.finding == "batch_over_processes.n8"
    assert decision.root.yes.yes.holds is True
    text = report(root / FOLDER, file)
    assert "taking turns is" in text
    assert "`llamacpp offers no profiler`" in text
    assert {f"{n}.svg" for n in ("rate", "efficiency", "calls", "amortization", "classes")} == set(
        file.figures
    )


def test_without_real_effects_nothing_is_claimed(tmp_path):
    """The server alone falls, nothing overlaps, profiling costs nothing."""
    free = Truth(shared=1.0, shared_calls=0.0, overhead=1.0)
    names = ("serial", "threads", "processes", "batch")
    file = found(
        tmp_path, FOLDER, {"llamacpp-serial": SUTS["llamacpp-serial"], **dict.fromkeys(names, free)}
    )
    seen = outcomes(file)
    assert seen["server_falls"] == "supported"
    assert seen["serial_falls"] != "supported"
    assert seen["same_without_server"] == "refuted"
    assert file.decisions[0].root.yes.holds is False
    assert seen["batch_beats_processes"] == "inconclusive"
    assert seen["batch_shares_calls"] == "refuted"
    assert seen["processes_overlap"] == "refuted"
    assert seen["profiling_harmless_serial"] in ("supported", "inconclusive")
    assert seen["continuous_published"] == "not testable here"
    assert report(tmp_path / FOLDER, file)


def test_quick_depth_says_exploratory_and_gives_no_verdict(standard):
    root, file = standard
    quick = file.model_copy(update={"verdicts": [], "depth": "quick"})
    assert "Exploratory" in report(root / FOLDER, quick)


def test_without_any_profiler_the_rates_stay_and_the_report_goes_on(tmp_path):
    why = "the profiler wrote no trace"
    suts = {name: replace(truth, missing=why) for name, truth in SUTS.items()}
    file = found(tmp_path, FOLDER, suts)
    seen = outcomes(file)
    assert seen["serial_falls"] == "supported"
    assert seen["batch_shares_calls"] == seen["profiling_harmless_batch"] == "not testable here"
    assert file["traces"].value == 0
    assert f"`{why}`" in report(tmp_path / FOLDER, file)


def test_a_device_counts_kernels(tmp_path):
    device = Truth(device=True)
    names = ("llama-1b-cuda-serial", "llama-1b-cuda-processes", "llama-1b-cuda-batch")
    truths = (device, replace(device, shared=0.2), replace(device, shared=0.9, shared_calls=1.0))
    file = found(tmp_path, FOLDER, dict(zip(names, truths, strict=True)))
    assert file["llama-1b-cuda-batch.kernels.n8"].value == 500 / 8
    assert file["llama-1b-cuda-batch.launches.n8"].value == 250 / 8
    assert file["llama-1b-cuda-batch.amortization.n8"].value == 8
    assert file["llama-1b-cuda-serial.memory_operation_s.n1"].value > 0
    (decision,) = file.decisions
    assert decision.id == "llama-1b-cuda-cause"
    assert decision.root.yes.finding == "llama-1b-cuda-batch_over_processes.n8"
    assert report(tmp_path / FOLDER, file)
