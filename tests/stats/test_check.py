"""The simulations of the acceptance: quickly, and in full."""

import argparse

import pytest

from inferometer.stats import check
from inferometer.stats.checking import engine
from inferometer.stats.checking.cells import Band, Outcome
from inferometer.stats.checking.report import write_report


def arguments(*words):
    parser = argparse.ArgumentParser()
    check.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.slow
def test_quick_check_meets_its_widened_bands(capsys):
    assert check.run(arguments("--quick", "--runs", "40")) == 0
    assert "criterion" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_full_check_meets_the_bands_and_writes_the_report(tmp_path):
    page = tmp_path / "statistics.md"
    assert check.run(arguments("--out", str(page))) == 0
    assert "judged outcomes lie in their bands" in page.read_text()


def test_outcome_depends_on_the_seed_and_not_on_the_processes():
    cells = [cell for cell in engine.all_cells() if "family" in cell.setting]
    seen = [engine.run_cells(cells, 100, 1, jobs, lambda n: None) for jobs in (1, 2)]
    assert sorted(seen[0], key=str) == sorted(seen[1], key=str)


def test_report_says_what_missed(tmp_path):
    outcomes = [
        Outcome(c.criterion, c.setting, *key, 10, 20, band)
        for c in engine.all_cells()
        for key, band in c.judged.items()
    ]
    found = {(o.criterion, o.setting): o.quantity for o in outcomes}
    for cell in engine.all_cells():
        if cell.criterion.startswith("5.4"):
            from inferometer.stats.checking import breaks

            quantity = breaks.FOUND if cell.parameters["shift"] else breaks.FALSE
            assert found.get((cell.criterion, cell.setting), quantity) == quantity
            for method in (breaks.AR1, breaks.WHITE, breaks.PLACED):
                if (quantity, method) not in cell.judged:
                    key = cell.criterion, cell.setting, quantity, method
                    outcomes.append(Outcome(*key, 10, 20, None))
    page = tmp_path / "statistics.md"
    write_report(page, outcomes, runs=20, seed=1, elapsed_s=1.0)
    text = page.read_text()
    assert "do not:**" in text
    assert "✗" in text
    assert "fewer than the 1000" in text
    assert {p.suffix for p in (tmp_path / "statistics").iterdir()} == {".svg", ".png"}


def test_bands():
    band = Band(0.92, 0.975)
    assert band.holds(0.92)
    assert not band.holds(0.976)
    miss = Outcome("c", "s", "q", "m", 85, 100, band)
    assert miss.met() is False
    assert miss.met(3.5) is True
    assert str(Band(0.0, 0.065)) == "at most 0.065"
