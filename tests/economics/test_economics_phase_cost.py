from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferometer.economics import blends, phase_cost, work
from inferometer.economics.phase_cost import Capital, Rate
from inferometer.economics.prices import Electricity, OwnedMachine
from inferometer.economics.work import PhaseBlock, Work
from inferometer.errors import UserError
from inferometer.stats.intervals import mean_of_blocks

CLOUD = Rate("cloud", 3.6, "USD", Capital.RENTED)
DESK = Rate("desk", 3.6, "USD", Capital.AMORTISED, per_kwh=3.6)
BLOCKS = {
    0: PhaseBlock(1e-3, 10e-3, 0.1, 1.0),
    1: PhaseBlock(2e-3, 12e-3, 0.2, 1.2),
    2: PhaseBlock(3e-3, 11e-3, 0.3, 1.1),
}
seconds = st.floats(1e-6, 10)
block = st.builds(PhaseBlock, seconds, seconds)
blocks = st.lists(block, min_size=3, max_size=7).map(lambda found: dict(enumerate(found)))
shares = st.floats(0, 1)


def owned(currency: str = "USD") -> tuple[OwnedMachine, Electricity]:
    written = {"date": date(2026, 1, 1), "source": "s"}
    machine = OwnedMachine(
        title="t", price=1200, currency=currency, years=3, hardware="h", **written
    )
    return machine, Electricity(per_kwh=0.2, currency="USD", **written)


def test_the_six_blends_are_the_published_ones() -> None:
    assert {name: blend.input_share for name, blend in blends.BLENDS.items()} == {
        "rag": 0.95,
        "summarization": 0.85,
        "chat": 0.67,
        "balanced": 0.50,
        "code": 0.25,
        "classification": 0.99,
    }
    assert blends.DEFAULT_BLEND in blends.BLENDS


def test_blends_by_hand() -> None:
    assert blends.blended_cost(0.25, 4, 8) == 7
    # half the tokens at 100/s and half at 300/s: 2 tokens in 1/100 + 1/300 s
    assert blends.blended_rate(0.5, 100, 300) == pytest.approx(150)
    with pytest.raises(ValueError, match="input_share"):
        blends.blended_cost(1.1, 1, 1)


@given(shares, seconds, seconds)
def test_a_blend_lies_between_its_phases(share: float, prefill: float, decode: float) -> None:
    cost = blends.blended_cost(share, prefill, decode)
    slack = 1e-12 * max(prefill, decode)
    assert min(prefill, decode) - slack <= cost <= max(prefill, decode) + slack
    assert blends.blended_rate(share, 1 / prefill, 1 / decode) == pytest.approx(1 / cost)


def test_cost_per_phase_by_hand() -> None:
    # 3.6 an hour is a thousandth a second; a million tokens of 2 ms take 2000 s
    cost = phase_cost.cost_of(BLOCKS, work.PREFILL, CLOUD)
    assert cost.total.value == pytest.approx(2.0)
    # sd 1, t(2) = 4.3027, over sqrt(3)
    assert cost.total.ci == pytest.approx((2 - 2.48414, 2 + 2.48414), abs=1e-5)
    assert cost.total.unit == "USD"
    assert cost.electricity.reason == "contained in the rent"


def test_phases_of_a_block_stay_together() -> None:
    """The interval of a blend is that of the blocks' blends, not of two intervals added."""
    opposed = {0: PhaseBlock(1.0, 3.0), 1: PhaseBlock(2.0, 2.1), 2: PhaseBlock(3.0, 1.0)}
    half = work.million(blends.BLENDS["balanced"])
    found = phase_cost.time_of(opposed, half)
    by_hand = mean_of_blocks([2e6, 2.05e6, 2e6])
    assert found.ci == pytest.approx(by_hand.ci)
    assert found.ci is not None
    alone = phase_cost.time_of(opposed, Work(0.5e6, 0)).ci
    assert alone is not None
    assert found.ci[1] - found.ci[0] < 0.1 * (alone[1] - alone[0])  # type: ignore[operator]


def test_electricity_on_owned_hardware_by_hand() -> None:
    # 3.6 a kWh is a millionth a joule; a million tokens of 0.2 J
    cost = phase_cost.cost_of(BLOCKS, work.PREFILL, DESK)
    assert cost.electricity.value == pytest.approx(0.2)
    assert cost.total.value == pytest.approx(2.2)
    assert phase_cost.energy_of(BLOCKS, Work(1, 0)).value == pytest.approx(0.2)
    # 200 kJ = 1/18 kWh
    assert phase_cost.carbon_of(BLOCKS, work.PREFILL, 500).value == pytest.approx(500 / 18)


def test_unmeasured_energy_is_undefined_and_never_0() -> None:
    bare = {**BLOCKS, 2: PhaseBlock(3e-3, 11e-3)}
    cost = phase_cost.cost_of(bare, work.DECODE, DESK)
    assert cost.machine.value == pytest.approx(11.0)
    for part in (cost.electricity, cost.total, phase_cost.energy_of(bare, work.DECODE)):
        assert part.value is None
        assert part.reason == "energy not measured in every block"
    assert phase_cost.carbon_of(bare, work.DECODE, 500).value is None
    prefill_only = {0: PhaseBlock(1, 1, prefill_j=2)}
    assert phase_cost.energy_of(prefill_only, Work(1, 0)).value == 2


def test_two_blocks_have_no_interval() -> None:
    two = {key: BLOCKS[key] for key in (0, 1)}
    total = phase_cost.cost_of(two, work.DECODE, CLOUD).total
    assert total.value == pytest.approx(11.0)
    assert total.ci is None
    assert total.reason is not None


@given(blocks, shares, st.floats(0.01, 100), st.floats(1.001, 10))
def test_dearer_machines_cost_more(
    found: dict[int, PhaseBlock], share: float, price: float, factor: float
) -> None:
    share_work = work.million(blends.Blend("b", "b", share))
    cheap, dear = (
        phase_cost.cost_of(found, share_work, Rate("r", rate, "USD", Capital.RENTED)).total.value
        for rate in (price, price * factor)
    )
    assert cheap is not None
    assert dear == pytest.approx(cheap * factor)


@given(blocks, shares)
def test_a_blend_costs_between_its_phases(found: dict[int, PhaseBlock], share: float) -> None:
    works = (work.million(blends.Blend("b", "b", s)) for s in (1, share, 0))
    prefill, blend, decode = (phase_cost.cost_of(found, w, CLOUD).total.value for w in works)
    assert prefill is not None
    assert blend is not None
    assert decode is not None
    slack = 1e-9 * max(prefill, decode)
    assert min(prefill, decode) - slack <= blend <= max(prefill, decode) + slack


def test_the_first_token_of_a_request_comes_from_prefill() -> None:
    assert work.request(256, 128) == Work(256, 127)
    assert phase_cost.time_of(BLOCKS, work.request(10, 1)).value == pytest.approx(0.02)
    with pytest.raises(ValueError, match="at least one"):
        work.request(256, 0)


def test_cost_table_has_every_rate_phase_and_blend() -> None:
    table = phase_cost.cost_table(BLOCKS, [CLOUD, DESK])
    assert len(table) == 2 * (2 + len(blends.BLENDS))
    chat = table["cloud", "chat"].total.value
    assert chat == pytest.approx(0.67 * 2 + 0.33 * 11)


def test_cached_against_uncached_is_paired() -> None:
    uncached = {key: PhaseBlock(b.prefill_s, b.decode_s * f) for (key, b), f in
                zip(BLOCKS.items(), (3.9, 4.0, 4.1), strict=True)}  # fmt: skip
    found = phase_cost.uncached_over_cached(BLOCKS, uncached, work.DECODE)
    assert found.value == pytest.approx((3.9 * 4.0 * 4.1) ** (1 / 3))
    assert found.ci is not None
    assert 3.7 < found.ci[0] < 4 < found.ci[1] < 4.3  # type: ignore[operator]


def test_blocks_without_a_partner_are_named() -> None:
    uncached = {key: PhaseBlock(1, 2) for key in (1, 2, 9)}
    found = phase_cost.uncached_over_cached(BLOCKS, uncached, work.DECODE)
    assert found.n == 2
    assert found.note == "blocks without a partner left out: [0, 9]"
    nothing = phase_cost.uncached_over_cached(BLOCKS, {}, work.DECODE)
    assert nothing.value is None


def test_a_ratio_without_spread_has_no_interval() -> None:
    twice = {key: PhaseBlock(b.prefill_s, 2 * b.decode_s) for key, b in BLOCKS.items()}
    found = phase_cost.uncached_over_cached(BLOCKS, twice, work.DECODE)
    assert found.value == pytest.approx(2)
    assert found.ci is None
    assert found.reason is not None


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf")])
def test_impossible_block_values_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="prefill_s must be above 0"):
        PhaseBlock(bad, 1)
    with pytest.raises(ValueError, match="decode_j"):
        PhaseBlock(1, 1, decode_j=bad if bad else -1)


def test_owned_rates() -> None:
    machine, power = owned()
    # published: 1,200 USD over 3 years is 0.046 an hour
    rate = phase_cost.owned("laptop", machine, power, Capital.AMORTISED)
    assert round(rate.per_hour, 3) == 0.046
    assert phase_cost.owned("laptop", machine, power, Capital.UP_FRONT).per_hour == 0
    with pytest.raises(ValueError, match="amortised or paid up front"):
        phase_cost.owned("laptop", machine, power, Capital.RENTED)
    with pytest.raises(UserError, match="no exchange rate"):
        phase_cost.owned("laptop", owned("EUR")[0], power, Capital.AMORTISED)


def test_published_best_cost_recomputed() -> None:
    """TR123's $0.013/1M chat, GPT-2 compiled: the table's rates and watts give it.

    Decode at 396.4 tok/s and 39.4 W, prefill at 33,862 tok/s and 27.7 W, $0.046/h, $0.20/kWh:
    0.67 x 0.0004 + 0.33 x (0.0322 + 0.0055).
    """
    prefill_s, decode_s = 1 / 33_862, 1 / 396.4
    one = {0: PhaseBlock(prefill_s, decode_s, 27.7 * prefill_s, 39.4 * decode_s)}
    rate = Rate("laptop", 0.046, "USD", Capital.AMORTISED, per_kwh=0.20)
    cost = phase_cost.cost_of(one, work.million(blends.BLENDS["chat"]), rate)
    assert cost.total.value == pytest.approx(0.0128, abs=1e-4)
    assert cost.total.ci is None
