import pytest

from inferometer.economics import money


def test_amortisation_and_rates_by_hand() -> None:
    assert money.amortised_monthly(2500, 36) == pytest.approx(69.4444, abs=1e-4)
    assert money.hourly_rate(8760, 1) == 1
    assert money.hourly_rate(8760, 2) == 0.5


def test_energy_by_hand() -> None:
    # 400 W x 120 h = 48 kWh at 0.12
    assert money.energy_cost(400, 120, 0.12) == pytest.approx(5.76)
    assert money.carbon_g(48, 500) == 24_000


def test_break_even_by_hand() -> None:
    # 2500 / (93.6 - 13.97) = 31.395 months
    assert money.break_even_months(2500, 13.97, 93.6) == pytest.approx(31.395, abs=1e-3)


def test_break_even_that_never_comes_is_refused() -> None:
    with pytest.raises(ValueError, match="never breaks even"):
        money.break_even_months(2500, 100, 90)


def test_cost_per_million_by_hand() -> None:
    # 1000 tok/s is 3.6 M tokens an hour
    assert money.cost_per_million(3.6, 1000) == pytest.approx(1)
    assert money.generation_hours(3.6e6, 1000) == pytest.approx(1)


def test_tco_of_the_desktop_document() -> None:
    duties = [money.Duty(400, 4), money.Duty(250, 4), money.Duty(80, 16)]
    tco = money.tco_monthly(2500, 36, duties, 0.12)
    assert tco.energy == pytest.approx(13.968)
    assert tco.total == pytest.approx(83.412, abs=1e-3)


def test_a_day_has_24_hours() -> None:
    with pytest.raises(ValueError, match="25 h of a day"):
        money.tco_monthly(1, 1, [money.Duty(1, 25)], 0.1)


def test_column_gaps_show_what_does_not_add_up() -> None:
    rows = [{"hours": 145, "cost": 326}, {"hours": 29, "cost": 64}]
    assert money.column_gaps(rows, {"hours": 175, "cost": 390}) == {"hours": 1, "cost": 0}
