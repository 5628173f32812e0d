import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from inferometer import design
from inferometer.errors import UserError

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
