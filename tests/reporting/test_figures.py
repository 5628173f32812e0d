import pytest

from inferometer.errors import UserError
from inferometer.reporting import figures
from inferometer.reporting.figures import Estimate


def drawn():
    with figures.style():
        one, axes = figures.panel("Throughput", "agents", "tokens/s")
        estimates = [Estimate(1, 0.9, 1.2), Estimate(2, 1.5, None)]
        figures.points(axes, [1, 2], estimates, "one slot", 0, raw=([1, 2], [1.0, 2.1]))
        figures.curve(axes, [1, 2], [1, 2], "Amdahl", 1, band=([0.9, 1.8], [1.1, 2.2]))
        figures.whole_levels(axes, [1, 2])
        figures.legend(axes)
        two, (left, right) = figures.panels(["a", "b"], "agents", "s")
        figures.stacked(left, ["1", "2"], {"wait": [0.1, 0.2], "decode": [0.5, 0.6]})
        figures.stacked(right, ["1"], {"wait": [0.1]})
    return {"throughput": one, "latency": two}


def test_equal_figures_have_equal_bytes(tmp_path):
    first = figures.save(drawn(), tmp_path / "a")
    second = figures.save(drawn(), tmp_path / "b")
    assert first == second
    assert sorted(first) == ["latency.png", "latency.svg", "throughput.png", "throughput.svg"]
    svg = (tmp_path / "a" / "latency.svg").read_text()
    assert "dc:date" not in svg


def test_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write figures"):
        figures.save({}, tmp_path / "file" / "figures")
