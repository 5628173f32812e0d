import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from inferometer import design
from inferometer.errors import UserError
from inferometer.stages.repository import opened
from inferometer.stages.selection import Selection

ROOT = Path(__file__).parents[2]
TR129 = ROOT / "experiments" / "tr129_agent_scaling"


def changed(change: Callable[[dict], None], folder: Path) -> design.Design:
    content = copy.deepcopy(yaml.safe_load((TR129 / "design.yaml").read_text()))
    change(content)
    (folder / "design.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return design.load(folder)


def phases(content: dict) -> dict:
    return content["depths"]["quick"]["phases"]["scaling"]


WRONG = {
    "impossible level": (
        lambda c: phases(c).update(agents=[0]),
        ["depths.quick.phases.scaling.agents: 0 is not allowed", "whole numbers from 1"],
    ),
    "half an agent": (
        lambda c: phases(c).update(agents=[1.5]),
        ["agents: 1.5 is not allowed", "whole numbers from 1"],
    ),
    "true is no number": (
        lambda c: phases(c).update(think_ms=[True]),
        ["depths.quick.phases.scaling.think_ms", "valid integer"],
    ),
    "unknown factor": (
        lambda c: phases(c).update(agent=[1]),
        ["scaling.agent: not a declared factor", "agents, think_ms"],
    ),
    "unknown key": (lambda c: c.update(sut={}), ["sut: unknown key", "suts"]),
    "unknown nested key": (
        lambda c: c["warmup"].update(request=3),
        ["warmup.request: unknown key", "requests"],
    ),
    "missing key": (lambda c: c.pop("seed"), ["seed", "required"]),
    "a first phase that is none": (
        lambda c: c["depths"]["quick"].update(first=["capacity"]),
        ["depths.quick.first: no phase 'capacity'; there are: scaling, think"],
    ),
    "no blocks": (
        lambda c: c["depths"]["quick"].update(blocks=0),
        ["depths.quick.blocks", "greater than or equal to 1"],
    ),
    "not a number": (
        lambda c: c["gates"].update(failed_fraction=float("nan")),
        ["gates.failed_fraction"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_design_is_refused_with_file_key_and_fix(name, tmp_path):
    change, words = WRONG[name]
    with pytest.raises(UserError) as caught:
        changed(change, tmp_path)
    for word in [str(tmp_path / "design.yaml"), *words]:
        assert word in str(caught.value)


def test_each_combination_of_levels_is_measured_once():
    loaded = design.load(TR129)
    labels = [cell.label for cell in loaded.cells("standard")]
    assert len(labels) == len(set(labels)) == 11


def test_the_order_of_cells_is_seeded_and_differs_between_blocks():
    loaded = design.load(TR129)

    def order(block: int, sut: str = "llamacpp-serial") -> list[str]:
        return [cell.label for cell in loaded.cell_order("standard", sut, block)]

    assert order(0) == order(0)
    assert order(0) != order(1)
    assert order(0) != order(0, "llamacpp-batch8")
    assert sorted(order(0)) == sorted(order(1))


def test_phases_that_others_need_come_first(tmp_path):
    wanted = changed(lambda c: c["depths"]["standard"].update(first=["think"]), tmp_path)
    serial = "llamacpp-serial"
    before = design.load(TR129).cell_order("standard", serial, 0)
    after = wanted.cell_order("standard", serial, 0)
    assert [cell.phase for cell in after] == ["think"] * 3 + ["scaling"] * 8
    assert after[3:] == [cell for cell in before if cell.phase == "scaling"]
    assert wanted.measurement_digest(serial, "quick") == design.load(TR129).measurement_digest(
        serial, "quick"
    )


def test_another_seed_is_another_order(tmp_path):
    mine = design.load(TR129).cell_order("standard", "llamacpp-serial", 0)
    other = changed(lambda c: c.update(seed=130), tmp_path)
    assert other.cell_order("standard", "llamacpp-serial", 0) != mine


def test_systems_are_interleaved_block_by_block():
    loaded = design.load(TR129)
    suts = loaded.selected_suts([])
    order = loaded.session_order("standard", suts)
    blocks = loaded.plan("standard").blocks
    assert len(order) == blocks * len(suts)
    for block in range(blocks):
        slice_ = order[block * len(suts) : (block + 1) * len(suts)]
        assert {number for _, number in slice_} == {block}
        assert {sut for sut, _ in slice_} == set(suts)
    first = [order[block * len(suts)][0] for block in range(blocks)]
    assert len(set(first)) > 1


def test_optional_systems_are_measured_only_when_named():
    loaded = design.load(TR129)
    assert "llamacpp-mixed" not in loaded.selected_suts([])
    assert "llamacpp-mixed" in loaded.selected_suts(["llamacpp-mixed"])
    with pytest.raises(UserError, match="no SUT 'llamacpp-mixd'; it has: llamacpp-serial"):
        loaded.selected_suts(["llamacpp-mixd"])


WORDS_ONLY = {
    "label": lambda c: c["suts"]["llamacpp-serial"].update(label="another"),
    "hypotheses": lambda c: c["hypotheses"].pop("serial_plateau"),
    "question": lambda c: c.update(question="another?"),
    "another system": lambda c: c["suts"]["llamacpp-batch8"]["settings"].update(slots=4),
    "another depth": lambda c: c["depths"]["full"]["effort"].update(quota=99),
    "more blocks": lambda c: c["depths"]["quick"].update(blocks=5),
}
MEASURED = {
    "settings": lambda c: c["suts"]["llamacpp-serial"]["settings"].update(context_per_slot=1024),
    "effort": lambda c: c["depths"]["quick"]["effort"].update(quota=3),
    "levels": lambda c: phases(c).update(agents=[1, 2]),
    "seed": lambda c: c.update(seed=1),
    "gates": lambda c: c["gates"].update(failed_fraction=0.5),
}


@pytest.mark.parametrize("name", WORDS_ONLY)
def test_words_about_a_measurement_do_not_repeat_it(name, tmp_path):
    after = changed(WORDS_ONLY[name], tmp_path)
    before = design.load(TR129)
    serial = "llamacpp-serial"
    assert after.digest != before.digest
    assert after.measurement_digest(serial, "quick") == before.measurement_digest(serial, "quick")


@pytest.mark.parametrize("name", MEASURED)
def test_what_decides_a_measurement_repeats_it(name, tmp_path):
    after = changed(MEASURED[name], tmp_path)
    before = design.load(TR129)
    serial = "llamacpp-serial"
    assert after.measurement_digest(serial, "quick") != before.measurement_digest(serial, "quick")


def test_comments_and_layout_do_not_change_the_digest(tmp_path):
    assert changed(lambda c: None, tmp_path).digest == design.load(TR129).digest


def test_a_depth_that_is_not_declared_is_named(tmp_path):
    loaded = changed(lambda c: c["depths"].pop("full"), tmp_path)
    with pytest.raises(UserError, match="depth 'full' is not declared; declared: quick, standard"):
        loaded.plan("full")


TR125 = ROOT / "experiments" / "tr125_quantization_matrix"
SERVED, INSIDE = "smollm2-135m-q4-k-m", "smollm2-135m-q4-k-m-inside"
MINE = {"stack": "llamacpp", "artifact": "mine", "label": "smollm2-135m.q4_0"}


def test_phases_of_items_are_measured_once():
    loaded = design.load(TR125)
    assert {cell.phase for cell in loaded.cells("standard", SERVED, 0)} == {
        *("answers", "letters", "speed"),
    }
    assert {cell.phase for cell in loaded.cells("standard", SERVED, 1)} == {"speed"}
    order = loaded.session_order("standard", [SERVED, INSIDE])
    assert order.count((INSIDE, 0)) == 1
    assert [sut for sut, block in order if block] == [SERVED] * 6


def test_a_phase_to_measure_once_must_be_one(tmp_path):
    with pytest.raises(UserError, match=r"depths\.quick\.once: no phase 'answers'"):
        changed(lambda c: c["depths"]["quick"].update(once=["answers"]), tmp_path)


def test_what_is_measured_once_decides_a_measurement(tmp_path):
    once = changed(lambda c: c["depths"]["quick"].update(once=["think"]), tmp_path)
    serial = "llamacpp-serial"
    before = design.load(TR129).measurement_digest(serial, "quick")
    assert once.measurement_digest(serial, "quick") != before


def test_an_added_sut_is_measured_in_the_phases_of_the_one_it_is_like():
    loaded = design.load(TR125, {"mine": {**MINE, "like": SERVED}})
    for depth in loaded.depths:
        assert loaded.cells(depth, "mine") == loaded.cells(depth, SERVED)
    assert ("mine", 0) in loaded.session_order("standard", loaded.selected_suts([]))


def test_an_added_sut_is_nothing_to_the_others():
    plain = design.load(TR125)
    added = design.load(TR125, {"mine": {**MINE, "like": SERVED}})
    for depth in plain.depths:
        for sut in plain.suts:
            assert added.cell_order(depth, sut, 0) == plain.cell_order(depth, sut, 0)
            assert added.measurement_digest(sut, depth) == plain.measurement_digest(sut, depth)


def test_other_phases_of_an_added_sut_are_other_measurements():
    one, other = (design.load(TR125, {"mine": {**MINE, "like": x}}) for x in (SERVED, INSIDE))
    assert one.measurement_digest("mine", "quick") != other.measurement_digest("mine", "quick")
    same = design.load(TR125, {"mine": {**MINE, "like": "smollm2-135m-q8-0"}})
    assert one.measurement_digest("mine", "quick") == same.measurement_digest("mine", "quick")


def test_an_added_sut_without_phases_is_refused():
    with pytest.raises(UserError, match=r"suts\.mine: like: .* has no SUT 'q4'; it has: smollm2"):
        design.load(TR125, {"mine": {**MINE, "like": "q4"}})
    with pytest.raises(UserError, match=r"suts\.mine: like: is missing"):
        design.load(TR125, {"mine": MINE})
    free = design.load(TR129, {"mine": MINE})  # its phases are for every SUT
    assert free.cells("quick", "mine") == free.cells("quick", "llamacpp-serial")


@pytest.fixture
def checkout(tmp_path):
    for name in ("config", "envs", "experiments/tr125_quantization_matrix"):
        shutil.copytree(ROOT / name, tmp_path / name)
    items = tmp_path / "experiments/tr124_quality_baseline/items"
    shutil.copytree(ROOT / items.relative_to(tmp_path), items)
    data = tmp_path / "data"
    data.mkdir()
    (data / "mmlu_1.jsonl").write_text('{"id": "ice"}\n')
    return tmp_path


def measured_by(root: Path, **config) -> str:
    return Selection(opened(root, config), "some-machine").measured_by("tr125", SERVED)


def test_changed_items_are_measured_again(checkout):
    plain = measured_by(checkout)
    assert measured_by(checkout) == plain
    (checkout / "experiments/tr124_quality_baseline/items/notes.txt").write_text("no items")
    assert measured_by(checkout) == plain
    qa = checkout / "experiments/tr124_quality_baseline/items/qa.jsonl"
    qa.write_text(qa.read_text().replace("a", "b", 1))
    assert measured_by(checkout) != plain


def test_another_folder_of_benchmarks_is_measured_again(checkout):
    folder = {"data_dir": str(checkout / "data")}
    plain, with_data = measured_by(checkout), measured_by(checkout, quality=folder)
    assert with_data != plain
    moved = checkout / "moved"
    shutil.copytree(checkout / "data", moved)  # the same items elsewhere are the same
    assert measured_by(checkout, quality={"data_dir": str(moved)}) == with_data
    (checkout / "data" / "mmlu_1.jsonl").write_text('{"id": "snow"}\n')
    assert measured_by(checkout, quality=folder) != with_data


def test_an_added_sut_has_no_other_measured_again(checkout):
    suts = {"mine": {**MINE, "artifact": "smollm2-135m-q8_0", "like": SERVED}}
    added = measured_by(checkout, experiments={"tr125": {"suts": suts}})
    assert added == measured_by(checkout)
