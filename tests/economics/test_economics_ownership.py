from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferometer.economics import ownership
from inferometer.economics.ownership import Billing
from inferometer.economics.phase_cost import Capital, Rate
from inferometer.economics.prices import OwnedMachine
from inferometer.economics.work import PhaseBlock, Work
from inferometer.errors import UserError

RENT = Rate("cloud", 1.0, "USD", Capital.RENTED)
RUN = Rate("desk", 0.0, "USD", Capital.UP_FRONT, per_kwh=0.1)
SHARE = Rate("desk", 0.5, "USD", Capital.AMORTISED, per_kwh=0.1)
DESK = OwnedMachine(
    title="t",
    price=900,
    currency="USD",
    years=3,
    hardware="h",
    date=date(2026, 1, 1),
    source="s",
)
# a token takes 9, 10, 11 s and 1,000 times as many joules: 1 kW
BLOCKS = {key: PhaseBlock(s, s, 1000 * s, 1000 * s, 100.0) for key, s in enumerate((9, 10, 11))}
MONTH = Work(0, 36_000)  # 100 hours on average


def test_a_month_by_the_hours_used() -> None:
    cost = ownership.monthly(BLOCKS, MONTH, RENT)
    assert cost.busy_hours.value == pytest.approx(100)
    assert cost.machines == 1
    assert cost.total.value == pytest.approx(100)
    # sd 10 h, t(2) = 4.3027 / sqrt 3
    assert cost.total.ci == pytest.approx((100 - 24.8414, 100 + 24.8414), abs=1e-3)


def test_a_whole_month_costs_the_same_at_any_speed() -> None:
    cost = ownership.monthly(BLOCKS, MONTH, RENT, Billing.WHOLE_MONTH)
    assert cost.total.value == 730
    assert cost.total.ci is None
    assert cost.total.reason == "the same whatever the speed"


def test_machines_are_whole_and_the_slow_end_is_shown() -> None:
    cost = ownership.monthly(BLOCKS, MONTH.times(7), RENT, Billing.WHOLE_MONTH)
    assert (cost.machines, cost.machines_at_most) == (1, 2)  # 700 h, at most 874 h
    assert ownership.monthly(BLOCKS, MONTH.times(8), RENT).machines == 2


def test_an_owned_machine_costs_its_share_when_idle_too() -> None:
    cost = ownership.monthly(BLOCKS, MONTH, SHARE)
    assert cost.machine.value == 365
    # 100 h at 1 kW and 0.1 a kWh
    assert cost.electricity.value == pytest.approx(10)
    assert cost.total.value == pytest.approx(375)


def test_waiting_draws_power_too() -> None:
    cost = ownership.monthly(BLOCKS, MONTH, RUN, Billing.WHOLE_MONTH)
    # and 630 h at 100 W
    assert cost.electricity.value == pytest.approx(10 + 6.3)
    without = {key: replace(block, idle_w=None) for key, block in BLOCKS.items()}
    unknown = ownership.monthly(without, MONTH, RUN, Billing.WHOLE_MONTH)
    assert unknown.total.value is None
    assert unknown.total.reason == "idle power not measured in every block"


def test_break_even_by_hand() -> None:
    own, rent = (ownership.monthly(BLOCKS, MONTH, rate) for rate in (RUN, RENT))
    found = ownership.break_even(DESK, own, rent)
    # rent 100, electricity 10; both go with the block's hours
    assert found.saved_monthly.value == pytest.approx(90)
    assert found.months.value == pytest.approx(10)
    assert found.months.ci == pytest.approx((900 / 112.3573, 900 / 67.6427), rel=1e-5)
    assert found.no_sooner_than.value == pytest.approx(9)


def test_break_even_never() -> None:
    cheap = replace(RENT, per_hour=0.05)
    own, rent = (ownership.monthly(BLOCKS, MONTH, rate) for rate in (RUN, cheap))
    months = ownership.break_even(DESK, own, rent).months
    assert months.value is None
    assert months.reason == "never: renting costs 5 a month less than running"


def test_break_even_that_the_data_leave_open() -> None:
    noisy = {key: PhaseBlock(10, 10, j, j) for key, j in enumerate((4_000, 10_000, 11_000))}
    cheap = replace(RENT, per_hour=0.1)
    own, rent = (ownership.monthly(noisy, MONTH, rate) for rate in (RUN, cheap))
    months = ownership.break_even(DESK, own, rent).months
    assert months.value is not None
    assert months.ci is not None
    assert months.ci[1] is None
    assert months.note is not None


def test_without_energy_only_a_lower_limit_is_known() -> None:
    bare = {key: PhaseBlock(b.prefill_s, b.decode_s) for key, b in BLOCKS.items()}
    own, rent = (ownership.monthly(bare, MONTH, rate) for rate in (RUN, RENT))
    found = ownership.break_even(DESK, own, rent)
    assert found.months.value is None
    assert found.months.reason == "energy not measured in every block"
    assert found.no_sooner_than.value == pytest.approx(9)


def test_the_price_is_counted_once() -> None:
    amortised, running, rent = (ownership.monthly(BLOCKS, MONTH, r) for r in (SHARE, RUN, RENT))
    with pytest.raises(ValueError, match="already amortises the price; count it once"):
        ownership.total_cost(amortised, 12, bought=DESK)
    with pytest.raises(ValueError, match="name the machine"):
        ownership.total_cost(running, 12)
    with pytest.raises(ValueError, match="rented machine is not bought"):
        ownership.total_cost(rent, 12, bought=DESK)
    with pytest.raises(ValueError, match="counted up front"):
        ownership.break_even(DESK, amortised, rent)
    with pytest.raises(ValueError, match="months"):
        ownership.total_cost(rent, 0)


def test_break_even_refuses_what_does_not_belong_together() -> None:
    own = ownership.monthly(BLOCKS, MONTH, RUN)
    euros = ownership.monthly(BLOCKS, MONTH, replace(RENT, currency="EUR"))
    with pytest.raises(UserError, match="no exchange rate"):
        ownership.break_even(DESK, own, euros)
    fewer = ownership.monthly({0: BLOCKS[0]}, MONTH, RENT)
    with pytest.raises(ValueError, match="same blocks"):
        ownership.break_even(DESK, own, fewer)
    with pytest.raises(ValueError, match="rented machine"):
        ownership.break_even(DESK, own, own)


@given(st.floats(1, 120), st.floats(0.01, 10))
def test_total_cost_adds_up(months: float, volume: float) -> None:
    month = MONTH.times(volume)
    cost = ownership.monthly(BLOCKS, month, RUN)
    found = ownership.total_cost(cost, months, bought=DESK)
    assert cost.total.value is not None
    assert found.running.value == pytest.approx(months * cost.total.value)
    assert found.total.value == pytest.approx(900 * cost.machines + months * cost.total.value)
    assert found.total.ci is not None
    assert found.running.ci is not None
    width = found.running.ci[1] - found.running.ci[0]  # type: ignore[operator]
    assert found.total.ci[1] - found.total.ci[0] == pytest.approx(width)  # type: ignore[operator]


@given(st.floats(1.0, 100.0))
def test_over_its_life_amortising_equals_paying_up_front(price_per_hour: float) -> None:
    machine = DESK.model_copy(update={"price": price_per_hour * 3 * 8760})
    share = replace(SHARE, per_hour=price_per_hour)
    spread = ownership.total_cost(ownership.monthly(BLOCKS, MONTH, share), 36).total.value
    at_once = ownership.total_cost(ownership.monthly(BLOCKS, MONTH, RUN), 36, machine).total.value
    assert spread == pytest.approx(at_once)


def test_published_desktop_recomputed() -> None:
    """Source s000: 2,500 USD against RunPod at 93.6 a month breaks even after 31 months, not 8-12.

    240 h a month at 0.39 an hour, 13.97 a month of electricity at 0.12 a kWh.
    """
    joules = 13.97 / 0.12 * 3.6e6
    block = {0: PhaseBlock(1, 240 * 3600, 0, joules)}
    machine = DESK.model_copy(update={"price": 2500})
    own = ownership.monthly(block, Work(0, 1), replace(RUN, per_kwh=0.12))
    rent = ownership.monthly(block, Work(0, 1), replace(RENT, per_hour=0.39))
    assert own.total.value == pytest.approx(13.97)
    assert rent.total.value == pytest.approx(93.6)
    assert ownership.break_even(machine, own, rent).months.value == pytest.approx(31.395, abs=1e-3)
