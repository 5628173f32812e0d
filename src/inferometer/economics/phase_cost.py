"""What work costs, from the seconds and joules per token that each block measured.

Everything here is linear in those values. A quantity is computed in every block, from the prefill
and the decode of the same block, and only then averaged: no intervals are combined.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from inferometer.economics import money
from inferometer.economics.blends import BLENDS
from inferometer.economics.estimate import Estimate
from inferometer.economics.prices import Electricity, OwnedMachine, Tier
from inferometer.economics.work import DECODE, PREFILL, Blocks, Work, million
from inferometer.errors import UserError

JOULES_PER_KWH = 3.6e6
NO_ENERGY = "energy not measured in every block"
IN_THE_RENT = "contained in the rent"
NOT_PRICED = "the price is paid up front; electricity is what an hour costs"


class Capital(Enum):
    """How the price of a machine enters a cost; one of them, never two."""

    RENTED = "rented"
    AMORTISED = "amortised"
    UP_FRONT = "up front"


@dataclass(frozen=True)
class Rate:
    """What an hour of a machine costs, and the electricity that comes on top.

    `per_kwh` is `None` for rented machines. For a machine bought up front `per_hour` is 0.
    """

    name: str
    per_hour: float
    currency: str
    capital: Capital
    per_kwh: float | None = None


def rented(name: str, tier: Tier) -> Rate:
    """The rate of a tier; its electricity is in the rent."""
    return Rate(name, tier.per_hour, tier.currency, Capital.RENTED)


def owned(name: str, machine: OwnedMachine, power: Electricity, capital: Capital) -> Rate:
    """The rate of a machine that was bought: price / (years x 8760 h), or 0 if counted up front.

    Amortised by the hour, a machine is as cheap as this only when it works every hour;
    `ownership.monthly` charges the hours in which it waits as well.
    """
    if capital is Capital.RENTED:
        raise ValueError("capital: a bought machine is amortised or paid up front")
    if machine.currency != power.currency:
        raise UserError(
            f"prices: machines.{name} is in {machine.currency} and electricity in "
            f"{power.currency}; give both in one currency, no exchange rate is kept here"
        )
    hourly = money.hourly_rate(machine.price, machine.years)
    per_hour = hourly if capital is Capital.AMORTISED else 0.0
    return Rate(name, per_hour, machine.currency, capital, power.per_kwh)


@dataclass(frozen=True)
class WorkCost:
    """Cost of some work at one rate: the machine's hours, the electricity, and both.

    `total` is undefined where a part of it is: a cost without its electricity is not a total.
    """

    rate: Rate
    machine: Estimate
    electricity: Estimate
    total: Estimate


def time_of(blocks: Blocks, work: Work, confidence: float = 0.95) -> Estimate:
    """Seconds of the work, over blocks."""
    return Estimate.of_blocks([work.seconds(b) for b in blocks.values()], "s", confidence)


def energy_of(blocks: Blocks, work: Work, confidence: float = 0.95) -> Estimate:
    """Joules of the work, over blocks; undefined unless every block measured them."""
    joules = joules_of(blocks, work)
    if joules is None:
        return Estimate.undefined(NO_ENERGY, "J", len(blocks))
    return Estimate.of_blocks(joules, "J", confidence)


def carbon_of(blocks: Blocks, work: Work, g_per_kwh: float, confidence: float = 0.95) -> Estimate:
    """Grams of CO2 equivalent: kWh x grid intensity; undefined where the energy is."""
    joules = joules_of(blocks, work)
    if joules is None:
        return Estimate.undefined(NO_ENERGY, "gCO2e", len(blocks))
    grams = [money.carbon_g(value / JOULES_PER_KWH, g_per_kwh) for value in joules]
    return Estimate.of_blocks(grams, "gCO2e", confidence)


def cost_of(blocks: Blocks, work: Work, rate: Rate, confidence: float = 0.95) -> WorkCost:
    """Cost of the work at a rate: seconds / 3600 x rate + kWh x price (TR123).

    Electricity is added on owned hardware only.
    """
    unit = rate.currency
    hours = [work.seconds(block) / 3600 for block in blocks.values()]
    machine = [value * rate.per_hour for value in hours]
    electricity = electricity_of(blocks, work, rate)
    if rate.capital is Capital.UP_FRONT:
        machine_cost = Estimate.exact(0.0, unit, NOT_PRICED)
    else:
        machine_cost = Estimate.of_blocks(machine, unit, confidence)
    if rate.per_kwh is None:
        return WorkCost(rate, machine_cost, Estimate.exact(0.0, unit, IN_THE_RENT), machine_cost)
    if electricity is None:
        missing = Estimate.undefined(NO_ENERGY, unit, len(blocks))
        return WorkCost(rate, machine_cost, missing, missing)
    both = [a + b for a, b in zip(machine, electricity, strict=True)]
    return WorkCost(
        rate,
        machine_cost,
        Estimate.of_blocks(electricity, unit, confidence),
        Estimate.of_blocks(both, unit, confidence),
    )


def cost_table(
    blocks: Blocks, rates: Sequence[Rate], confidence: float = 0.95
) -> dict[tuple[str, str], WorkCost]:
    """Cost of a million tokens, keyed by rate and by "prefill", "decode" or the blend's name."""
    parts = {"prefill": PREFILL, "decode": DECODE}
    parts |= {name: million(blend) for name, blend in BLENDS.items()}
    return {
        (rate.name, part): cost_of(blocks, work, rate, confidence)
        for rate in rates
        for part, work in parts.items()
    }


def uncached_over_cached(
    cached: Blocks, uncached: Blocks, work: Work, confidence: float = 0.95
) -> Estimate:
    """How many times as long, and at one rented rate as dear, the work is without the KV cache.

    A ratio of geometric means, paired by block.
    """
    above = {block: work.seconds(value) for block, value in uncached.items()}
    below = {block: work.seconds(value) for block, value in cached.items()}
    return Estimate.of_ratio(above, below, "x", confidence)


def joules_of(blocks: Blocks, work: Work) -> list[float] | None:
    """Joules of the work in each block, or `None` when a block lacks them."""
    joules = [work.joules(block) for block in blocks.values()]
    known = [value for value in joules if value is not None]
    return known if len(known) == len(joules) else None


def electricity_of(blocks: Blocks, work: Work, rate: Rate) -> Sequence[float] | None:
    """Cost of the electricity in each block; `None` for rented machines and unmeasured energy."""
    joules = joules_of(blocks, work)
    if joules is None or rate.per_kwh is None:
        return None
    return [value / JOULES_PER_KWH * rate.per_kwh for value in joules]
