"""What a machine costs: amortisation, energy, break-even, and tables that must add up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inferometer.economics.guards import positive

HOURS_PER_YEAR = 8760


def amortised_monthly(price: float, months: float) -> float:
    """The price spread evenly over the months."""
    positive(months=months)
    return price / months


def hourly_rate(price: float, years: float) -> float:
    """The price per hour of ownership, whether used or not: price / (years x 8760 h)."""
    positive(years=years)
    return price / (years * HOURS_PER_YEAR)


def energy_cost(power_w: float, hours: float, price_per_kwh: float) -> float:
    """Cost of drawing `power_w` for `hours`."""
    return power_w * hours / 1000 * price_per_kwh


def break_even_months(price: float, own_monthly: float, rented_monthly: float) -> float:
    """Months after which owning is cheaper than renting.

    `own_monthly` are running costs only: the price is counted up front, not amortised as well.
    Raises `ValueError` when renting costs no more than running the owned machine: never.
    """
    saved = rented_monthly - own_monthly
    if saved <= 0:
        raise ValueError(f"renting saves {-saved:g} a month over running: it never breaks even")
    return price / saved


def cost_per_million(hourly: float, tokens_per_s: float) -> float:
    """Cost of a million tokens at a rate per hour and a throughput."""
    positive(tokens_per_s=tokens_per_s)
    return hourly / 3600 / tokens_per_s * 1e6


def generation_hours(tokens: float, tokens_per_s: float) -> float:
    """Hours that a machine works for `tokens`."""
    positive(tokens_per_s=tokens_per_s)
    return tokens / tokens_per_s / 3600


def carbon_g(energy_kwh: float, grams_per_kwh: float) -> float:
    """Grams of CO2 equivalent of the energy at a grid intensity."""
    return energy_kwh * grams_per_kwh


@dataclass(frozen=True)
class Duty:
    """A power level and the hours a day that it lasts."""

    power_w: float
    hours_per_day: float


@dataclass(frozen=True)
class Tco:
    """Monthly cost of ownership, split."""

    hardware: float
    energy: float

    @property
    def total(self) -> float:
        """Hardware and energy together."""
        return self.hardware + self.energy


def tco_monthly(
    price: float,
    months: float,
    duties: Sequence[Duty],
    price_per_kwh: float,
    days_per_month: float = 30,
) -> Tco:
    """Monthly cost of an owned machine.

    Raises `ValueError` when the duties fill more than 24 hours a day.
    """
    hours = sum(duty.hours_per_day for duty in duties)
    if hours > 24:
        raise ValueError(f"duties fill {hours:g} h of a day; a day has 24")
    energy = sum(
        energy_cost(duty.power_w, duty.hours_per_day * days_per_month, price_per_kwh)
        for duty in duties
    )
    return Tco(hardware=amortised_monthly(price, months), energy=energy)


def column_gaps(
    rows: Sequence[Mapping[str, float]], stated: Mapping[str, float]
) -> dict[str, float]:
    """Stated total minus the sum of its column, for each column of a cost table."""
    return {name: total - sum(row[name] for row in rows) for name, total in stated.items()}
