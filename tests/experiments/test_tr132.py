"""TR132 on sessions made by hand, whose truth is known; a stand-in for real workers and servers."""

from dataclasses import replace

import pytest
from profilers.simulated import Truth, found
from simulated import outcomes, report

FOLDER = "experiments/tr132_batching_profile"
TOKENS = 10
SUTS = {
    "vllm-serial": Truth(step_s=0.03, served=True),
    "vllm-continuous": Truth(step_s=0.03, shared=0.9, served=True, batched=True),
    "transformers-serial": Truth(),
    "transformers-continuous": Truth(shared=0.6, shared_calls=0.98, batched=True),
}


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    root = tmp_path_factory.mktemp("tr132")
    return root, found(root, FOLDER, SUTS)


def test_time_and_calls_against_serial_are_the_truth(standard):
    _, file = standard
    for stack in ("vllm", "transformers"):
        serial, batched = (SUTS[f"{stack}-{kind}"] for kind in ("serial", "continuous"))
        for n in (1, 8):
            time = batched.seconds(n, TOKENS) / serial.seconds(n, TOKENS)
            assert file[f"{stack}.time_ratio.n{n}"].value == pytest.approx(time, rel=0.03)
            calls = batched.count(n, TOKENS) / serial.count(n, TOKENS)
            assert file[f"{stack}.calls_ratio.n{n}"].value == pytest.approx(calls)
            assert file[f"{stack}.calls_ratio_decode.n{n}"].value == pytest.approx(calls)
        gain = 8 * batched.seconds(1, TOKENS) / batched.seconds(8, TOKENS)
        assert file[f"{stack}-continuous.gain.n8"].value == pytest.approx(gain, rel=0.02)
    assert file["vllm-continuous.amortization.n8"].value == pytest.approx(8 / 1.7)
    assert file["vllm-continuous.change.n8"].value == pytest.approx(1.7 / 8 - 1)
    assert file["artefact.load0"].value == 1
    assert file["vllm.time_ratio.n8"].rows.count == 14
    assert all(f.rows.count > 0 or f.value in (None, 0) for f in file.findings)


def test_verdicts_decisions_and_report(standard):
    root, file = standard
    seen = outcomes(file)
    assert seen["vllm_fewer_calls"] == seen["transformers_fewer_calls"] == "supported"
    assert seen["vllm_faster"] == seen["transformers_faster"] == "supported"
    assert seen["vllm_published_amortization"] == seen["vllm_published_change"] == "supported"
    assert seen["transformers_published_amortization"] == "refuted"
    assert seen["vllm_serial_shares_nothing"] == "supported"
    assert seen["stacks_alike"] == "refuted"
    assert seen["vllm_gain_is_amortization"] == "supported"
    assert seen["transformers_gain_is_amortization"] == "refuted"
    assert [decision.id for decision in file.decisions] == [
        "vllm-batching",
        "transformers-batching",
    ]
    assert file.decisions[0].root.yes.finding == "vllm.time_ratio.n2"
    text = report(root / FOLDER, file)
    assert "lies in the published range" in text
    assert "How not to compute it" in text
    names = ("time", "calls", "amortization", "classes")
    assert set(file.figures) == {f"{name}.svg" for name in names}


def test_without_real_effects_nothing_is_claimed(tmp_path):
    seen = outcomes(found(tmp_path, FOLDER, dict.fromkeys(SUTS, Truth())))
    assert seen["vllm_fewer_calls"] == "refuted"
    assert seen["vllm_faster"] in ("inconclusive", "refuted")
    assert seen["stacks_alike"] == "supported"
    assert seen["vllm_published_amortization"] == "refuted"


def test_what_cannot_run_here_is_listed_and_the_report_goes_on(tmp_path):
    why = "no container engine (docker, podman) on this machine"
    suts = SUTS | {
        "vllm-serial": replace(SUTS["vllm-serial"], not_testable="it asks for a GPU"),
        "vllm-continuous": replace(SUTS["vllm-continuous"], missing="the profiler wrote no trace"),
        "vllm-container": Truth(served=True, not_testable=why),
        "tgi-container": Truth(served=True, not_testable=why),
    }
    file = found(tmp_path, FOLDER, suts)
    seen = outcomes(file)
    assert seen["vllm_faster"] == seen["stacks_alike"] == "not testable here"
    assert seen["containers_alike"] == "not testable here"
    assert seen["transformers_faster"] == "supported"
    text = report(tmp_path / FOLDER, file)
    assert why in text
    assert "Containers are not testable here" in text
    assert "`the profiler wrote no trace`" in text
    assert "[it asks for a GPU]" in text
