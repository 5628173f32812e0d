"""TR123 on sessions made by hand, whose truth is known; a stand-in for real workers."""

import asyncio
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from checkouts import REPOSITORY
from simulated import MACHINE, analysed, cell_line, outcomes, placed, report, seal

from inferometer import analysis, tidy
from inferometer.design import Cell
from inferometer.errors import UserError
from inferometer.experiments import Experiment
from inferometer.phases import cell as phase_cell
from inferometer.phases import summary
from inferometer.session import CellOutcome, CellRun

FOLDER = "experiments/tr123_kv_cache_economics"
BANDWIDTH, FLOPS = 20e9, 100e9
NO_METER = "energy not measurable here: no RAPL counters"


@dataclass(frozen=True)
class Model:
    """The truth about a SUT: seconds per token of each part, its shape, watts of each part."""

    prefill_s: float
    decode_s: float
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    vocabulary: int
    parameters: int
    width: int = 4
    context: int = 1024
    watts: tuple[float, float] | None = None
    kv_factor: float = 1.0
    device_name: str | None = None

    @property
    def kv_token(self) -> int:
        return 2 * self.layers * self.kv_heads * self.head_dim * self.width

    def facts(self) -> dict:
        shape = {
            name: getattr(self, name)
            for name in ("layers", "heads", "kv_heads", "head_dim", "hidden", "vocabulary")
        }
        weights = self.parameters * self.width
        return {
            **shape,
            **{"parameters": self.parameters, "context": self.context, "weight_bytes": weights},
            **{"decode_weight_bytes": weights, "kv_value_bytes": self.width, "load_s": 1.5},
        }


MODELS = {
    "smollm2": Model(0.004, 0.040, 30, 9, 3, 64, 576, 49152, 134_515_008, context=8192),
    "gpt2": Model(0.004, 0.050, 12, 12, 12, 64, 768, 50257, 124_439_808),
    "qwen25-05b": Model(0.010, 0.080, 24, 14, 2, 64, 896, 151_936, 494_032_768, 2, 32768),
}


def phase(
    model: Model, index: int, levels: dict, repetition: int, speeds: list[float], oom: bool
) -> list[dict]:
    """The records of one repetition of a scenario: prefill, then decode."""
    prompt, generated = (int(number) for number in levels["scenario"].split("/"))
    cached = levels["kv_cache"] == "on"
    step_s = model.decode_s if cached else model.prefill_s * (prompt + generated / 2)
    cold = 1.5 if repetition == 0 and cached else 1.0
    common = {
        **{"kind": "phase", "cell": index, "repetition": repetition, "cached": cached},
        **{"prompt_tokens": prompt, "output_tokens_asked": generated, "started_s": 1.0},
        **{"error": None, "step_s": [], "base_bytes": 10**9, "peak_bytes": 2 * 10**9},
    }
    found = []
    parts = (
        ("prefill", prompt, model.prefill_s * prompt, prompt),
        ("decode", generated - 1, step_s * (generated - 1), prompt + generated - 1),
    )
    for (part, tokens, seconds, held), speed in zip(parts, speeds, strict=True):
        kv = int(model.kv_token * held * model.kv_factor) if cached else 0
        layers = [kv // model.layers] * model.layers if cached else []
        ends = {"kv_layer_bytes_low": layers[0], "kv_layer_bytes_high": layers[0]} if cached else {}
        failed = oom and part == "decode"
        found.append(
            common
            | {"part": part, "tokens": tokens, "wall_s": seconds * speed * cold}
            | {"context_end": held, "kv_bytes": kv, "kv_bytes_by_layer": layers, **ends}
            | {"status": "oom" if failed else "ok", "error": "no memory" if failed else None}
        )
    return found


def session(model: Model, cells: list[Cell], rng: np.random.Generator, oom: str | None) -> list:
    """All lines of one session."""
    speed = float(np.exp(rng.normal(0, 0.02)))
    device = {"device_name": model.device_name, "device": "cpu", "measured_on": "2026-11-21"}
    missing = None if model.watts else NO_METER
    lines = [{"kind": "facts", **device, "meter_missing": missing}]
    lines += [{"kind": "check", "same_output": True, "tokens": 4}] * 3
    probes = {"read_bandwidth": BANDWIDTH, "copy_bandwidth": BANDWIDTH, "gemm_flops": FLOPS}
    for quantity, value in probes.items():
        for repetition in range(3):
            probe = value / speed * (1 - 0.1 * repetition)
            lines.append({"kind": "ceiling", "quantity": quantity, "value": probe, "wall_s": 0.1})
    for index, cell in enumerate(cells):
        extra = {}
        if "energy_part" in cell.levels:
            extra = {} if model.watts else {"not_testable": NO_METER}
            lines += [window(model, index, cell.levels, speed)] if model.watts else []
        else:
            for repetition in range(2 if cell.levels["kv_cache"] == "on" else 1):
                speeds = list(speed * np.exp(rng.normal(0, 0.005, 2)))
                failed = cell.label == oom
                lines += phase(model, index, cell.levels, repetition, speeds, failed)
                if failed:
                    break
        lines.append(cell_line(index, cell, **extra))
    if model.watts:
        idle = {"kind": "window", "part": "idle", "wall_s": 5.0, "tokens": 0, "energy_j": 50.0}
        lines.append({**idle, "mean_power_w": 10.0, "status": "ok", "error": None})
    return lines


def window(model: Model, index: int, levels: dict, speed: float) -> dict:
    part = levels["energy_part"]
    per_token = (model.prefill_s if part == "prefill" else model.decode_s) * speed
    power = (model.watts or (0.0, 0.0))[part == "decode"]
    return {
        **{"kind": "window", "cell": index, "part": part, "wall_s": 8.0, "passes": 3},
        **{"tokens": round(8.0 / per_token), "energy_j": 8.0 * power, "mean_power_w": power},
        **{"status": "ok", "error": None, "energy_reasons": []},
    }


def measured(
    root: Path,
    models: dict[str, Model],
    depth: str = "standard",
    oom: str | None = None,
    cannot_run: str | None = None,
) -> tuple[Experiment, Path]:
    """A repository with TR123, prices and sealed sessions of the models."""
    (root / "config").mkdir()
    shutil.copy(REPOSITORY / "config" / "prices.yaml", root / "config")
    experiment = placed(root, FOLDER)
    rng = np.random.default_rng(7)
    for sut, model in models.items():
        for block in range(experiment.design.plan(depth).blocks):
            cells = experiment.design.cell_order(depth, sut, block)
            lines = session(model, cells, rng, oom)
            if sut == cannot_run:
                lines = [c | {"not_testable": "no GPU here"} for c in lines if c["kind"] == "cell"]
            seal(experiment, root, depth, sut, block, lines, read_back=model.facts())
    return experiment, experiment.results(root, MACHINE, depth)


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    experiment, results = measured(tmp_path_factory.mktemp("tr123"), MODELS)
    return experiment, results, analysed(experiment, results)


def test_phases_are_the_truth_within_the_noise(standard):
    _, _, file = standard
    for sut, model in MODELS.items():
        truths = {
            "tpot.50-25": model.decode_s,
            "cold_tpot.50-25": 1.5 * model.decode_s,
            "ttft.200-25": 200 * model.prefill_s,
            "decode_rate.50-25": 1 / model.decode_s,
            "decode_over_prefill.12-100": model.decode_s / model.prefill_s,
        }
        for name, truth in truths.items():
            seen = file[f"{sut}.{name}"]
            assert seen.value == pytest.approx(truth, rel=0.03)
            assert seen.interval.low < seen.value < seen.interval.high
            assert seen.n == 7


def test_the_cache_gain_is_that_of_first_repetitions(standard):
    _, _, file = standard
    model = MODELS["gpt2"]
    gain = file["gpt2.cache_gain.50-25"]
    truth = model.prefill_s * (50 + 12.5) / (1.5 * model.decode_s)
    assert gain.value == pytest.approx(truth, rel=0.02)
    # 12/12: .072 s without against .075 s with it, so it does not pay there
    assert file["gpt2.cache_gain.12-12"].value < 1
    assert file["gpt2.cache_pays_from"].value == 50
    assert outcomes(file)["cache_pays"] == "refuted"
    assert outcomes(file)["cache_twofold"] == "supported"


def test_costs_are_time_times_price_with_intervals_over_blocks(standard):
    _, _, file = standard
    chat = file["smollm2.cost.chat.aws-m7g-large"]
    seconds = 1e6 * (0.67 * 0.004 + 0.33 * 0.040)
    assert chat.value == pytest.approx(seconds / 3600 * 0.0816, rel=0.02)
    assert chat.interval.low < chat.value < chat.interval.high
    assert "priced for" in chat.notes
    ratio = file["smollm2.cost.rag.h200-spheron"].value / file["smollm2.seconds.rag"].value
    assert ratio == pytest.approx(4.54 / 3600)


def test_every_dollar_selects_the_phase_records_it_came_from(standard):
    _, results, file = standard
    table = tidy.read(results / "observations.parquet")
    money = [f for f in file.findings if ".cost." in f.id or ".requests_cost." in f.id]
    assert len(money) > 100
    for finding in money:
        rows = analysis.select(table, finding.rows.where)
        assert len(rows) == finding.rows.count > 0
        assert set(rows["kind"]) == {"phase"}
        assert set(rows["sut"]) == {finding.id.partition(".")[0]}
        assert set(rows["status"]) == {"ok"}


def test_what_has_no_meter_and_no_owner_is_missing_with_the_reason(standard):
    _, _, file = standard
    for name in ("smollm2.joules.decode", "smollm2.carbon.chat", "smollm2.idle_power"):
        assert file[name].value is None
        assert file[name].reason == NO_METER
    assert file["smollm2.cost.chat.rtx4080-laptop"].value is None
    assert file["smollm2.cost_machine.chat.rtx4080-laptop"].value > 0
    assert "this_machine" in file["smollm2.break_even.h200-spheron"].reason
    assert outcomes(file)["energy_keeps_ranking"] == "not testable here"
    assert outcomes(file)["published_cost"] == "not testable here"


def test_kv_bytes_crossovers_and_grouping(standard):
    _, _, file = standard
    assert file["smollm2.kv_error"].value == 0
    assert file["smollm2.kv_error_layer"].value == 0
    assert file["smollm2.kv_per_token"].value == MODELS["smollm2"].kv_token == 46080
    assert file["qwen25-05b.mha_over_own"].value == 7
    # per value, so that bfloat16 against float32 does not count as grouping
    assert file["qwen25-05b.saves_against.gpt2"].value == pytest.approx(3.0)
    assert file["smollm2.saves_against.gpt2"].value == pytest.approx(1.6)
    assert file["gpt2.crossover"].value == pytest.approx(124_439_808 * 4 / 73728)
    assert file["gpt2.crossover_reachable"].value is False
    assert outcomes(file)["kv_formula"] == "supported"
    assert outcomes(file)["gqa_factor"] == "refuted"


def test_measured_over_bound(standard):
    _, _, file = standard
    model = MODELS["gpt2"]
    read = model.parameters * 4 + model.kv_token * (50 + 12.5)
    truth = 1 / model.decode_s / (BANDWIDTH / read)
    # a block that is slow has slow ceilings, too: the ratio does not see it
    assert file["gpt2.decode_of_bound.50-25"].value == pytest.approx(truth, rel=0.01)
    assert file["gpt2.prefill_of_bound.200-25"].value > 0


def test_ranking_and_decisions(standard):
    _, _, file = standard
    assert file["ranking.cost"].value == "smollm2 < gpt2 < qwen25-05b"
    assert file["gpt2.over_next.chat"].value == pytest.approx(0.01918 / 0.01588, rel=0.03)
    decisions = {decision.id: decision for decision in file.decisions}
    assert set(decisions) == {"cache-smollm2", "cache-gpt2", "cache-qwen25-05b", "model"}
    assert decisions["model"].root.holds is True
    assert outcomes(file)["decode_dearer"] == "supported"


def test_the_report_renders_with_every_number_linked(standard):
    experiment, _, file = standard
    text = report(experiment.folder, file)
    assert "unreachable" in text
    assert "energy not measurable here" in text
    assert not re.search(r"\bNone\b|\bnan\b", text)


def test_energy_on_a_metered_machine(tmp_path):
    """The fastest draws the most: energy turns the ranking over."""
    models = {
        "smollm2": replace(MODELS["smollm2"], watts=(80.0, 60.0)),
        "gpt2": replace(MODELS["gpt2"], watts=(20.0, 15.0)),
    }
    experiment, results = measured(tmp_path, models)
    prices = tmp_path / "config" / "prices.yaml"
    mine = prices.read_text().replace("this_machine: null", "this_machine: desktop-5070ti")
    prices.write_text(mine)
    file = analysed(experiment, results)
    assert file["smollm2.joules.decode"].value == pytest.approx(60 * 0.040, rel=0.02)
    assert file["ranking.energy"].value == "gpt2 < smollm2"
    assert outcomes(file)["energy_keeps_ranking"] == "refuted"
    hourly = 2500 / (3 * 8760)
    seconds = file["gpt2.seconds.decode"].value
    electricity = 1e6 * 15 * 0.050 / 3.6e6 * 0.20
    cost = file["gpt2.cost.decode.desktop-5070ti"]
    assert cost.value == pytest.approx(seconds / 3600 * hourly + electricity, rel=0.02)
    table = tidy.read(results / "observations.parquet")
    assert set(analysis.select(table, cost.rows.where)["kind"]) == {"phase", "window"}
    months = file["gpt2.break_even.h200-spheron"].value
    assert months > file["gpt2.break_even_least.h200-spheron"].value > 0
    assert file["headline"].value == "desktop-5070ti"
    assert "energy.svg" in file.figures
    report(experiment.folder, file)


def test_missing_suts_memory_that_runs_out_and_wrong_kv_bytes(tmp_path):
    models = {"gpt2": replace(MODELS["gpt2"], kv_factor=1.05)}
    experiment, results = measured(tmp_path, models, oom="scenario=12/100 kv_cache=on")
    file = analysed(experiment, results)
    assert file["gpt2.tpot.12-100"].value is None
    assert file["gpt2.ttft.12-100"].value is not None
    assert file["records_oom"].value == 7
    assert outcomes(file)["kv_formula"] == "refuted"
    assert outcomes(file)["gqa_factor"] == "not testable here"
    assert "request.12-100" not in " ".join(f.id for f in file.findings)
    report(experiment.folder, file)


def test_an_owned_machine_without_a_meter_has_a_lower_limit(tmp_path):
    experiment, results = measured(tmp_path, {"gpt2": MODELS["gpt2"]})
    prices = tmp_path / "config" / "prices.yaml"
    mine = prices.read_text().replace("this_machine: null", "this_machine: desktop-5070ti")
    prices.write_text(mine)
    file = analysed(experiment, results)
    assert file["gpt2.break_even.h200-spheron"].reason == NO_METER
    least = file["gpt2.break_even_least.h200-spheron"].value
    assert least == pytest.approx(2500 / file["gpt2.month.h200-spheron"].value)
    assert "at least" in report(experiment.folder, file)


def test_a_sut_that_cannot_run_here_is_listed_and_no_more(tmp_path):
    models = {"smollm2": MODELS["smollm2"], "gpt2-gpu": MODELS["gpt2"]}
    experiment, results = measured(tmp_path, models, cannot_run="gpt2-gpu")
    file = analysed(experiment, results)
    assert not any(finding.id.startswith("gpt2-gpu.") for finding in file.findings)
    assert outcomes(file)["cache_pays"] == "supported"
    assert "no GPU here" in report(experiment.folder, file)


def test_no_costs_without_the_scenario_they_rest_on(tmp_path):
    experiment, results = measured(
        tmp_path, {"gpt2": MODELS["gpt2"]}, oom="scenario=100/50 kv_cache=on"
    )
    file = analysed(experiment, results)
    assert "gpt2.cost.chat.aws-m7g-large" not in file
    assert file["ranking.energy"].value is None
    report(experiment.folder, file)


def test_quick_depth_prints_no_verdicts(tmp_path):
    experiment, results = measured(tmp_path, {"smollm2": MODELS["smollm2"]}, "quick")
    file = analysed(experiment, results, "quick")
    assert file.verdicts == []
    assert "Exploratory" in report(experiment.folder, file)


def test_lengths_of_a_scenario():
    step = Experiment("tr123", REPOSITORY / FOLDER, None).step("measure")  # type: ignore[arg-type]
    assert step.lengths("512/256") == (512, 256)
    for wrong in ("512", "512/", "a/b", "0/5", "5/1"):
        with pytest.raises(UserError, match="scenario"):
            step.lengths(wrong)


def test_cells_ask_for_what_their_levels_say(monkeypatch):
    """The library's measurement is replaced: what this experiment adds is how it is called."""
    step = Experiment("tr123", REPOSITORY / FOLDER, None).step("measure")  # type: ignore[arg-type]
    asked: list[tuple] = []

    async def generation(run, **how):
        asked.append((run.effort.repetitions, how))
        return CellOutcome(None, None, [])

    monkeypatch.setattr(phase_cell, "measure_generation", generation)
    effort = step.Effort(repetitions=4, uncached_repetitions=1, deadline_s=9)
    for kv_cache in ("on", "off"):
        cell = Cell(phase="cache_pair", levels={"scenario": "32/16", "kv_cache": kv_cache})
        run = CellRun(None, effort, [None], print, cell, 0)  # type: ignore[arg-type]
        asyncio.run(step.measure(run))
    how = {"prompt_tokens": 32, "output_tokens": 16}
    assert asked == [(4, {**how, "cached": True}), (1, {**how, "cached": False})]


def records(*rows: tuple) -> pd.DataFrame:
    names = ("cell", "repetition", "part", "tokens", "wall_s", "status", "context_end", "kv_bytes")
    table = pd.DataFrame(rows, columns=names)
    common = {"kind": "phase", "sut": "a", "block": 0, "phase": "x", "cell_valid": True}
    asked = {"cached": True, "prompt_tokens": 8, "output_tokens_asked": 5, "peak_bytes": 7}
    return table.assign(**common, **asked)


def test_summary_tells_cold_from_warm_and_keeps_what_failed():
    table = summary.cells(
        records(
            (0, 0, "prefill", 8, 4.0, "ok", 8, 80),
            (0, 0, "decode", 4, 8.0, "ok", 12, 120),
            (0, 1, "prefill", 8, 1.0, "ok", 8, 80),
            (0, 1, "decode", 4, 2.0, "ok", 12, 120),
            (0, 2, "prefill", 8, 3.0, "ok", 8, 80),
            (0, 2, "decode", 0, 0.5, "oom", 9, 90),
            (1, 0, "prefill", 8, 4.0, "ok", 8, 80),
            (1, 0, "decode", 4, 8.0, "ok", 12, 120),
        ),
        [],
    ).set_index("cell")
    first, single = table.loc[0], table.loc[1]
    assert (first["cold_prefill_s"], first["cold_decode_s"]) == (4, 8)
    assert (first["prefill_s"], first["ttft_s"], first["decode_s"]) == (2, 2, 2)
    assert first["prefill_tokens_s"] == 16 / 4
    assert first["decode_s_per_token"] == 0.5
    assert (first["status"], first["warm_repetitions"]) == ("oom", 2)
    assert (first["kv_bytes"], first["kv_tokens"], first["decode_peak_bytes"]) == (120, 12, 7)
    assert single["prefill_s"] == single["cold_prefill_s"] == 4
    assert (single["status"], single["warm_repetitions"]) == ("ok", 0)


def test_summary_without_phase_records():
    requests = pd.DataFrame({"sut": ["a"], "block": [0], "status": ["ok"]})
    assert summary.cells(requests.assign(cell_valid=True), []).empty
    assert summary.ceilings(requests).empty
    assert summary.windows(requests, []).empty
