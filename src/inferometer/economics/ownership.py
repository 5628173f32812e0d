"""A month of work, renting against owning, and the months until a bought machine has paid off."""

from dataclasses import dataclass, replace
from enum import Enum
from math import ceil
from statistics import fmean

from inferometer.economics.estimate import Ends, Estimate
from inferometer.economics.phase_cost import (
    IN_THE_RENT,
    JOULES_PER_KWH,
    NO_ENERGY,
    Capital,
    Rate,
    electricity_of,
)
from inferometer.economics.prices import OwnedMachine
from inferometer.economics.work import Blocks, Work
from inferometer.errors import UserError

HOURS_PER_MONTH = 730.0
"""8760 / 12."""
NO_IDLE = "idle power not measured in every block"


class Billing(Enum):
    """Which hours of a month are paid for, or kept switched on."""

    HOURS_USED = "hours used"
    WHOLE_MONTH = "whole month"


@dataclass(frozen=True)
class MonthlyCost:
    """A month of work on as many machines as it needs.

    `machines` follows from the mean speed, `machines_at_most` from the slow end of its interval
    (`None` without one).
    """

    rate: Rate
    busy_hours: Estimate
    machines: int
    machines_at_most: int | None
    machine: Estimate
    electricity: Estimate
    total: Estimate
    total_by_block: dict[int, float] | None


def monthly(
    blocks: Blocks,
    month: Work,
    rate: Rate,
    billing: Billing = Billing.HOURS_USED,
    confidence: float = 0.95,
) -> MonthlyCost:
    """Cost of a month's work, one request at a time on each machine.

    Rented by the hours used, or for whole months. A bought machine costs its share of every
    month, used or not; `billing` then says whether it stays on between requests, and the
    electricity of waiting is added (it needs `idle_w` in every block). The number of machines is
    the least that can do the work, busy all the time: requests that arrive together need more.
    """
    used = [month.seconds(block) / 3600 for block in blocks.values()]
    hours = Estimate.of_blocks(used, "h", confidence)
    machines = max(1, ceil(fmean(used) / HOURS_PER_MONTH))
    slowest = hours.ci[1] if hours.ci else None
    at_most = None if slowest is None else max(1, ceil(slowest / HOURS_PER_MONTH))
    every_hour = rate.capital is not Capital.RENTED or billing is Billing.WHOLE_MONTH
    paid = {
        key: rate.per_hour
        * (machines * HOURS_PER_MONTH if every_hour else month.seconds(block) / 3600)
        for key, block in blocks.items()
    }
    if every_hour:
        fixed = machines * HOURS_PER_MONTH * rate.per_hour
        machine = Estimate.exact(fixed, rate.currency, "the same whatever the speed")
    else:
        machine = Estimate.of_blocks(list(paid.values()), rate.currency, confidence)
    shared = (rate, hours, machines, at_most, machine)
    if rate.per_kwh is None:
        power = Estimate.exact(0.0, rate.currency, IN_THE_RENT)
        return MonthlyCost(*shared, power, machine, paid)
    bill = _power_bill(blocks, month, rate, machines if billing is Billing.WHOLE_MONTH else 0)
    if isinstance(bill, str):
        missing = Estimate.undefined(bill, rate.currency, len(blocks))
        return MonthlyCost(*shared, missing, missing, None)
    total = {key: paid[key] + bill[key] for key in blocks}
    return MonthlyCost(
        *shared,
        Estimate.of_blocks(list(bill.values()), rate.currency, confidence),
        Estimate.of_blocks(list(total.values()), rate.currency, confidence),
        total,
    )


@dataclass(frozen=True)
class TotalCost:
    """Cost of some months: what was bought, what ran, and both."""

    months: float
    bought: float
    running: Estimate
    total: Estimate


def total_cost(cost: MonthlyCost, months: float, bought: OwnedMachine | None = None) -> TotalCost:
    """Total cost of ownership (or of renting) over some months.

    Raises `ValueError` when the price would be counted twice (amortised in the monthly cost and
    `bought` as well), not at all (monthly cost of a machine paid up front, without `bought`), or
    bought on top of renting.
    """
    if bought is not None and cost.rate.capital is Capital.AMORTISED:
        raise ValueError("bought: the monthly cost already amortises the price; count it once")
    if bought is not None and cost.rate.capital is Capital.RENTED:
        raise ValueError("bought: a rented machine is not bought as well")
    if bought is None and cost.rate.capital is Capital.UP_FRONT:
        raise ValueError("bought: the price is paid up front; name the machine")
    if months <= 0:
        raise ValueError(f"months must be above 0, got {months:g}")
    price = bought.price * cost.machines if bought else 0.0
    return TotalCost(months, price, _linear(cost.total, months), _linear(cost.total, months, price))


@dataclass(frozen=True)
class BreakEven:
    """Months after which buying is cheaper than renting, at the same speed.

    `months` is undefined with the reason "never" where renting costs no more than running.
    `no_sooner_than` leaves the electricity out: a lower limit where energy was not measured.
    """

    months: Estimate
    no_sooner_than: Estimate
    saved_monthly: Estimate


def break_even(machine: OwnedMachine, own: MonthlyCost, rent: MonthlyCost) -> BreakEven:
    """Price / (rent - running cost), with the interval of the monthly saving turned over.

    Raises `ValueError` when `own` amortises the price, which would count it twice, or when the
    two sides are not from the same blocks; `UserError` for two currencies.
    """
    if own.rate.capital is not Capital.UP_FRONT:
        raise ValueError("own: running costs only; the price is counted up front")
    if rent.rate.capital is not Capital.RENTED or rent.total_by_block is None:
        raise ValueError("rent: must be the monthly cost of a rented machine")
    if not machine.currency == own.rate.currency == rent.rate.currency:
        raise UserError(
            f"prices: {own.rate.name} is in {machine.currency} and {rent.rate.name} in "
            f"{rent.rate.currency}; give both in one currency, no exchange rate is kept here"
        )
    price = machine.price * own.machines
    earliest = _months(price, rent.total)
    if own.total_by_block is None:
        reason = own.total.reason or NO_ENERGY
        return BreakEven(
            Estimate.undefined(reason, "months"),
            earliest,
            Estimate.undefined(reason, rent.rate.currency),
        )
    if own.total_by_block.keys() != rent.total_by_block.keys():
        raise ValueError("own, rent: must come from the same blocks")
    saved = [rent.total_by_block[key] - own.total_by_block[key] for key in own.total_by_block]
    saving = Estimate.of_blocks(saved, rent.rate.currency, rent.total.confidence)
    return BreakEven(_months(price, saving), earliest, saving)


def _months(price: float, saving: Estimate) -> Estimate:
    """Price over a saving; decreasing in it, so the ends of its interval change places."""
    if saving.value is None:
        return Estimate.undefined(saving.reason or NO_ENERGY, "months", saving.n)
    if saving.value <= 0:
        reason = f"never: renting costs {-saving.value:.4g} a month less than running"
        return Estimate.undefined(reason, "months", saving.n)
    months, ci, note = price / saving.value, None, None
    if saving.ci is not None:
        least, most = saving.ci
        certain = least is not None and least > 0
        ci = (price / most if most else None, price / least if least and certain else None)
        note = None if certain else "the data do not exclude that it never does"
    return Estimate(months, "months", ci, saving.n, saving.reason, saving.confidence, note)


def _power_bill(blocks: Blocks, month: Work, rate: Rate, always_on: int) -> dict[int, float] | str:
    """Cost of a month's electricity in each block, or why it is unknown."""
    busy = electricity_of(blocks, month, rate)
    if busy is None or rate.per_kwh is None:
        return NO_ENERGY
    bill = dict(zip(blocks, busy, strict=True))
    if not always_on:
        return bill
    for key, block in blocks.items():
        if block.idle_w is None:
            return NO_IDLE
        idle_s = max(0.0, always_on * HOURS_PER_MONTH * 3600 - month.seconds(block))
        bill[key] += block.idle_w * idle_s / JOULES_PER_KWH * rate.per_kwh
    return bill


def _linear(estimate: Estimate, factor: float, offset: float = 0.0) -> Estimate:
    if estimate.value is None:
        return estimate
    return replace(
        estimate,
        value=estimate.value * factor + offset,
        ci=_scaled(estimate.ci, factor, offset),
    )


def _scaled(ci: Ends | None, factor: float, offset: float = 0.0) -> Ends | None:
    if ci is None:
        return None
    low, high = (None if end is None else end * factor + offset for end in ci)
    return low, high
