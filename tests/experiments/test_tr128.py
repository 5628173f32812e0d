"""TR128 on sessions made by hand, whose queue is simulated; a stand-in for a real server."""

import heapq
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from checkouts import REPOSITORY
from simulated import MACHINE, analysed, cell_line, outcomes, placed, report, seal

from inferometer.design import Cell
from inferometer.errors import UserError
from inferometer.experiments import find
from inferometer.findings import FindingsFile
from inferometer.load import conversations, schedules
from inferometer.stats import queueing

FOLDER = "experiments/tr128_production_load"
PREFILL_S, TOKENS = 0.04, 8
LOAD = {
    **{"added_ttft_p50_s": 1e-4, "added_ttft_p99_s": 2e-4, "schedule_lag_p99_s": 1e-4},
    "cpu_s_per_1000_tokens": 0.05,
}


@dataclass(frozen=True)
class Truth:
    """One SUT: slots, service time alone and in a full server, and what is wrong with it."""

    slots: int = 1
    alone_s: float = 0.1
    full_s: float = 0.1
    whole: float = 1.0
    drift: float = 0.0
    hidden_s: float = 0.0
    never_ends: float | None = None
    invalid: str | None = None
    spread: float = 0.01

    @property
    def capacity(self) -> float:
        return self.slots / self.full_s


SUTS = {
    "llamacpp-1slot": Truth(),
    "llamacpp-4slots": Truth(slots=4, alone_s=0.12, full_s=0.2),
}


def served(truth: Truth, due: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(start, end) of each: in a slot at the pace that goes with how many slots are busy."""
    starts, ends, busy = np.empty(due.size), np.empty(due.size), []
    for index, at in enumerate(due):
        while busy and busy[0] <= at:
            heapq.heappop(busy)
        start = at if len(busy) < truth.slots else heapq.heappop(busy)
        while busy and busy[0] <= start:
            heapq.heappop(busy)
        share = len(busy) / max(truth.slots - 1, 1)
        needed = truth.alone_s + (truth.full_s - truth.alone_s) * share
        starts[index], ends[index] = start, start + needed * scale[index]
        heapq.heappush(busy, ends[index])
    return starts, ends


def request(cell: int, sequence: int, due: float | None, start: float, end: float, **more):
    first = min(start + PREFILL_S, end)
    sent = (start if due is None else due) + 0.0005
    record = {
        **{"kind": "request", "cell": cell, "agent": 0, "server": 0, "sequence": sequence},
        **{"sent_s": sent, "first_token_s": first, "last_token_s": end, "done_s": end},
        **{"scheduled_s": due, "lag_s": None if due is None else 0.0005, "status": "ok"},
        **{"prompt_tokens": 16, "completion_tokens": TOKENS, "cached_tokens": 0, "error": None},
        **{"server_prefill_s": first - start, "server_decode_s": end - first},
        **{"token_us": [1, 2], "tokens_agree": True},
    }
    return record | more


def unfinished(record: dict) -> dict:
    gone = dict.fromkeys(("first_token_s", "last_token_s", "done_s", "completion_tokens"))
    return record | gone | {"status": "unfinished", "tokens_agree": None, "token_us": []}


def open_cell(
    truth: Truth, index: int, cell: Cell, length: float, block: int, rng: np.random.Generator
):
    rho, law = float(cell.levels["rho"]), str(cell.levels.get("arrivals", "poisson"))
    rate = rho * truth.capacity
    due = np.array(schedules.draw(law, rate, length, f"128/{block}/{rho:g}", Path()))
    scale = np.exp(rng.normal(0, truth.spread, due.size))
    if cell.phase == "hold":
        scale *= 1 + truth.drift * (due / length - 0.5)
    starts, ends = served(truth, due, scale)
    if cell.levels.get("answer") == "whole":
        ends = starts + (ends - starts) * truth.whole
    for sequence, (at, start, end) in enumerate(zip(due, starts, ends, strict=True)):
        seen = end + truth.hidden_s  # what the server does not count as its own
        record = request(index, sequence, at, start, end, done_s=seen, last_token_s=seen)
        late = truth.never_ends is not None and end - at > truth.never_ends
        yield unfinished(record) if late else record
    yield {
        **{"kind": "load", "cell": index, "rho_asked": rho, "rate_per_s": rate, "law": law},
        **{"capacity_per_s": truth.capacity, "start_s": 0.0, "length_s": length},
        **{"requests": due.size, "unfinished": 0, "failed": 0, "lag_p99_s": 0.0005},
    }
    if cell.phase == "hold":
        for at in range(0, int(length), 2):
            yield {"kind": "health", "cell": index, "at_s": at, "cpu_mhz": 2000.0 - at}


def closed_cell(truth: Truth, index: int, seconds: float):
    """One request after the other in every slot; the window holds all but the last tokens."""
    for slot in range(truth.slots):
        for sequence in range(round(seconds / truth.full_s)):
            start = sequence * truth.full_s
            stamps = [round((part + 1) * truth.full_s / TOKENS * 1e6) for part in range(TOKENS)]
            end = start + truth.full_s
            times = {"sent_s": start, "token_us": stamps, "agent": slot}
            yield request(index, sequence, None, start, end - 1e-6, **times)


def turn_cell(index: int, cell: Cell, rng: np.random.Generator):
    history, _, window = str(cell.levels["history"]).partition("-")
    for conversation in range(2):
        for turn in range(1, int(cell.levels["turns"]) + 1):
            part = conversations.kept(turn, history, int(window or 9), 16, TOKENS)
            tokens = part.stop - part.start
            took = 0.0025 * tokens * float(np.exp(rng.normal(0, 0.02)))
            record = request(index, turn - 1, None, 1.0, 1.0 + took + 0.06)
            yield record | {
                **{"sent_s": 1.0, "first_token_s": 1.0 + took, "agent": conversation},
                "prompt_tokens": tokens,
            }


def session(truth: Truth, cells: list[Cell], effort: dict, block: int) -> list[dict]:
    rng = np.random.default_rng(100 * block + truth.slots)
    speed = float(np.exp(rng.normal(0, 0.02)))
    truth = Truth(
        **{**truth.__dict__, "alone_s": truth.alone_s * speed, "full_s": truth.full_s * speed}
    )
    lines: list[dict] = []
    for index, cell in enumerate(cells):
        length = effort["hold_s"] if cell.phase == "hold" else effort["load_s"]
        window: tuple[float | None, float | None] = (0.0, float(length))
        if cell.phase == "capacity":
            window = (0.0, effort["min_s"] // truth.full_s * truth.full_s - 1e-3)
            lines += closed_cell(truth, index, effort["min_s"])
        elif cell.phase == "turns":
            window = (None, None)
            lines += turn_cell(index, cell, rng)
        else:
            lines += open_cell(truth, index, cell, length, block, rng)
        valid = truth.invalid != cell.label
        end = {"valid": valid, "reasons": [] if valid else ["made so"]}
        end |= {"window_start_s": window[0], "window_end_s": window[1]}
        lines.append(cell_line(index, cell, **end))
    return lines


def found(root: Path, suts: dict[str, Truth], depth: str = "standard") -> FindingsFile:
    """Findings of a repository with TR128 and sealed sessions of these SUTs."""
    placed(root, FOLDER)
    return found_in(root, suts, depth)


def found_in(root: Path, suts: dict[str, Truth], depth: str) -> FindingsFile:
    experiment = find(root)["tr128"]
    plan = experiment.design.plan(depth)  # type: ignore[arg-type]
    for sut, truth in suts.items():
        for block in range(plan.blocks):
            cells = experiment.design.cell_order(depth, sut, block)  # type: ignore[arg-type]
            lines = session(truth, cells, dict(plan.effort), block)
            seal(experiment, root, depth, sut, block, lines, read_back={"slots": 1}, load=LOAD)
    return analysed(experiment, experiment.results(root, MACHINE, depth), depth)


@pytest.fixture(scope="module")
def standard(tmp_path_factory):
    root = tmp_path_factory.mktemp("tr128")
    return root, found(root, SUTS)


def test_the_capacity_comes_first_and_is_the_truth(standard):
    root, file = standard
    design = find(root)["tr128"].design
    for block in range(7):
        assert design.cell_order("standard", "llamacpp-1slot", block)[0].phase == "capacity"
    for sut, truth in SUTS.items():
        assert file[f"{sut}.capacity"].value == pytest.approx(truth.capacity, rel=0.03)
    assert file["slots.capacity"].value == pytest.approx(2, rel=0.05)
    assert outcomes(file)["slots_no_effect"] == "refuted"


def test_one_slot_is_the_queue_that_theory_says(standard):
    _, file = standard
    for rho in (30, 50, 70, 80, 90, 110):
        ratio = file[f"llamacpp-1slot.over_fast.rho{rho}"]
        assert ratio.value == pytest.approx(1, abs=0.04)
    md1 = file["llamacpp-1slot.md1_wait.rho50"].value
    assert md1 == pytest.approx(queueing.md1(0.1, 0.5).Wq, rel=0.03)
    assert file["llamacpp-1slot.mg1_wait.rho50"].value == pytest.approx(md1, rel=0.01)
    refused = file["llamacpp-1slot.md1_wait.rho110"]
    assert refused.value is None
    assert "no steady state" in refused.reason
    assert outcomes(file)["queue_explains_1slot"] == "supported"


def test_several_slots_lie_between_their_bounds(standard):
    _, file = standard
    for rho in (30, 90, 110):
        low, observed, high = (
            file[f"llamacpp-4slots.{name}.rho{rho}"].value
            for name in ("fast_latency", "latency", "slow_latency")
        )
        assert low * 0.99 < observed < high * 1.01
    assert outcomes(file)["bounds_hold_4slots"] == "supported"


def test_saturation_is_where_more_is_offered_than_can_be_served(standard):
    _, file = standard
    for sut in SUTS:
        assert file[f"{sut}.saturated_rho"].value == 1.1
        assert file[f"{sut}.backlog.rho110"].interval.low > 0
        assert file[f"{sut}.achieved_share.rho50"].value == pytest.approx(1, abs=0.05)
        assert file[f"{sut}.little.rho50"].value == pytest.approx(1, abs=0.1)
    seen = outcomes(file)
    assert seen["overload_1slot"] == seen["overload_4slots"] == "supported"


def test_goodput_falls_with_load_and_names_what_is_sustained(standard):
    _, file = standard
    assert file["llamacpp-1slot.goodput.rho30"].value > 0.95
    assert file["llamacpp-1slot.goodput.rho110"].value < 0.9
    assert file["llamacpp-1slot.sustained_rho"].value in (0.3, 0.5, 0.7)
    assert file["slo.total"].value == 0.5


def test_tails_are_given_only_where_requests_carry_them(standard):
    _, file = standard
    assert file["llamacpp-1slot.latency_p99.rho30"].value is None
    assert "too few requests" in file["llamacpp-1slot.latency_p99.rho30"].reason
    assert file["llamacpp-4slots.latency_p95.rho90"].value > 0.2


def test_equal_answers_are_equal_and_arrivals_are_poisson(standard):
    _, file = standard
    seen = outcomes(file)
    assert seen["streaming_free_1slot"] == "supported"
    for sut in SUTS:
        for when in ("scheduled", "sent"):
            interval = file[f"{sut}.arrivals.dispersion.{when}"].interval
            assert interval.low < 1.1
            assert interval.high > 0.9
            # One draw in twenty of true Poisson arrivals has an interval without its truth.
            interval = file[f"{sut}.arrivals.lag1.{when}"].interval
            assert interval.low < 0.05
            assert interval.high > -0.05


def test_hold_and_history(standard):
    _, file = standard
    assert abs(file["llamacpp-4slots.hold.service_drift"].value) < 0.02
    assert file["llamacpp-4slots.hold.cpu_clock_drift"].value < 0
    silent = file["llamacpp-4slots.hold.cpu_temperature"]
    assert (silent.value, silent.reason) == (None, "this machine does not tell it")
    full, window = (
        file[f"llamacpp-1slot.turns.tokens.{name}.t5"].value for name in ("full", "window-3")
    )
    assert (full, window) == (5 * 16 + 4 * TOKENS, 3 * 16 + 2 * TOKENS)
    assert file["llamacpp-1slot.turns.ttft_ratio"].value == pytest.approx(full / window, rel=0.05)
    assert outcomes(file)["window_saves"] == "supported"


def test_every_finding_has_rows_and_the_report_renders(standard):
    root, file = standard
    assert all(f.rows.count > 0 for f in file.findings if f.value not in (None, 0))
    assert set(outcomes(file)) == set(find(root)["tr128"].design.hypotheses)
    text = report(root / FOLDER, file)
    assert "Slots do have an effect" in text
    names = ("latency", "achieved", "backlog", "goodput", "turns", "drift")
    assert set(file.figures) == {f"{name}.svg" for name in names}
    (decision,) = file.decisions
    assert decision.root.holds is True


def test_faults_in_the_server_are_found(tmp_path):
    truths = {
        "llamacpp-1slot": Truth(whole=0.4, hidden_s=0.2),
        "llamacpp-4slots": Truth(slots=4, alone_s=0.12, full_s=0.2, drift=0.6),
    }
    file = found(tmp_path, truths)
    seen = outcomes(file)
    assert seen["streaming_free_1slot"] == "refuted"
    assert seen["queue_explains_1slot"] == "refuted"  # two tenths of a second from nowhere
    assert seen["md1_predicts_1slot"] == "refuted"
    assert seen["hold_does_not_drift"] == "refuted"
    # more than the drift itself: slower requests also fill more of the slots
    assert 0.5 < file["llamacpp-4slots.hold.service_drift"].value < 1.5
    report(tmp_path / FOLDER, file)


def test_unfinished_requests_leave_no_mean_but_count_as_misses(tmp_path):
    file = found(tmp_path, {"llamacpp-1slot": Truth(never_ends=0.6)}, "quick")
    latency = file["llamacpp-1slot.latency.rho110"]
    assert latency.value is None
    assert file["llamacpp-1slot.unfinished.rho110"].value > 0
    assert file["llamacpp-1slot.goodput.rho110"].value < 0.9
    assert file["llamacpp-1slot.latency.rho30"].value > 0.09
    assert file.verdicts == []
    text = report(tmp_path / FOLDER, file)
    assert "Exploratory" in text
    assert "slots.capacity" not in text


def test_invalid_cells_are_left_out(tmp_path):
    truth = Truth(invalid="rho=0.9 arrivals=poisson")
    file = found(tmp_path, {"llamacpp-1slot": truth}, "quick")
    assert "llamacpp-1slot.latency.rho90" not in file
    assert "llamacpp-1slot.latency.rho70" in file
    report(tmp_path / FOLDER, file)


def test_bursts_cost_more_than_even_arrivals(tmp_path):
    suts = {name: truth for name, truth in SUTS.items() if truth.slots == 1}
    shutil.copytree(REPOSITORY / FOLDER, tmp_path / "made" / FOLDER)
    design = tmp_path / "made" / FOLDER / "design.yaml"
    text = (
        design.read_text().replace("hold_s: 900", "hold_s: 30").replace("blocks: 15", "blocks: 3")
    )
    design.write_text(text)
    file = found_in(tmp_path / "made", suts, "full")
    even, bursts = (
        file[f"llamacpp-1slot.latency.rho70.{law}"].value for law in ("constant", "gamma-2")
    )
    assert even < file["llamacpp-1slot.latency.rho70"].value < bursts
    report(tmp_path / "made" / FOLDER, file)


@pytest.mark.parametrize("content", ["ttft_s: 1\n", "ttft_s: 0\ntpot_s: 1\ntotal_s: 1\n", "[]\n"])
def test_bad_objectives_are_refused(tmp_path, content):
    shutil.copytree(REPOSITORY / FOLDER, tmp_path / FOLDER)
    (tmp_path / FOLDER / "slo.yaml").write_text(content)
    with pytest.raises(UserError, match=r"slo\.yaml"):
        found_in(tmp_path, {"llamacpp-1slot": Truth()}, "quick")
