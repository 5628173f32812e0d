"""TR123: what tokens, requests and months cost, by price and by blend; energy and carbon."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from inferometer.analysis import Ledger, Where
from inferometer.economics import phase_cost, prices
from inferometer.economics.blends import BLENDS, DEFAULT_BLEND
from inferometer.economics.estimate import Estimate
from inferometer.economics.ownership import break_even, monthly
from inferometer.economics.phase_cost import Capital, Rate
from inferometer.economics.prices import OwnedMachine, Prices, Tier
from inferometer.economics.work import DECODE, PREFILL, Blocks, million, request

PARTS = {"prefill": PREFILL, "decode": DECODE}
WORKS = PARTS | {name: million(blend) for name, blend in BLENDS.items()}
MONTH = million(BLENDS[DEFAULT_BLEND]).times(10)
"""Ten million tokens, as the design declares."""
REQUESTS = 1000
NO_ROWS: Where = {"kind": "price"}
"""Selects no observation: a price is read from a file."""
NO_OWNER = "no owner's price is configured: `this_machine` in config/prices.yaml is empty"
RENTED_HERE = "`this_machine` in config/prices.yaml is rented, so nothing was bought"
NO_ENERGY = "energy not measurable here"
LINEAR = "computed in each block, mean over blocks, t interval"


@dataclass
class Priced:
    """What verdicts, decisions and figures need besides the findings."""

    reference: str
    rates: list[str]
    headline: str
    orders: dict[str, list[str]] = field(default_factory=dict)
    """Blend -> SUTs from the fastest, and so cheapest at one price, to the slowest."""
    energy_order: list[str] | None = None
    energy_missing: str = ""
    notes: list[str] = field(default_factory=list)


def findings(
    ledger: Ledger, suts: dict[str, Any], entries: Any, root: Path, reference: str
) -> Priced:
    """Enter prices, costs, energy, months and rankings."""
    known = prices.load(root / prices.PRICES_FILE)
    rates = [phase_cost.rented(name, tier) for name, tier in known.tiers.items()]
    rates += [
        phase_cost.owned(name, machine, known.electricity, Capital.AMORTISED)
        for name, machine in known.machines.items()
    ]
    priced = Priced(reference, [rate.name for rate in rates], _headline(known, suts))
    _listed(ledger, known, rates, priced)
    priced.notes += _ages(known, suts)
    for seen in suts.values():
        blocks = seen.blocks(reference)
        if not blocks:
            priced.notes.append(f"`{seen.sut}`: no block ended scenario `{reference}`; no costs")
            continue
        _tokens(seen, entries, blocks, known, rates, reference)
        _energy(seen, entries, blocks, known, reference)
        _requests(seen, entries, known, next(r for r in rates if r.name == priced.headline))
        _months(seen, entries, blocks, known, rates, reference)
    return priced


def _headline(known: Prices, suts: dict[str, Any]) -> str:
    """The price that figures use: this machine's own, one for its device, else the lowest rent."""
    if known.this_machine is not None:
        return known.this_machine
    devices = {_device(seen) for seen in suts.values()}
    fitting = [
        name
        for name, tier in known.tiers.items()
        if any(prices.hardware_note(tier, device) is None for device in devices)
    ]
    return min(fitting or known.tiers, key=lambda name: known.tiers[name].per_hour)


def _device(seen: Any) -> str:
    return str(seen.words.get("device_name") or "this machine's processor")


def _offer(known: Prices, name: str) -> Tier | OwnedMachine:
    return known.tiers.get(name) or known.machines[name]


def _listed(ledger: Ledger, known: Prices, rates: list[Rate], priced: Priced) -> None:
    """Prices, shares and factors as findings, so that a report can link to their source."""

    def add(name: str, title: str, value: float | str, unit: str, notes: str, n_of: str) -> None:
        ledger.add(
            name,
            title,
            value,
            unit=unit,
            n=1,
            n_of=n_of,
            where=NO_ROWS,
            estimator="read from config/prices.yaml" if n_of == "price" else "declared",
            no_interval="a listed figure, not an estimate",
            notes=notes,
        )

    for rate in rates:
        offer = _offer(known, rate.name)
        kind = "rent" if rate.capital is Capital.RENTED else "price over years of ownership"
        text = f"of {offer.date}; {offer.source}; for {offer.hardware}"
        title = f"{offer.title}, an hour ({kind})"
        add(f"price.{rate.name}", title, rate.per_hour, f"{rate.currency}/h", text, "price")
    power, carbon = known.electricity, known.carbon
    text = f"of {power.date}; {power.source}"
    unit = f"{power.currency}/kWh"
    add("electricity.price", "price of electricity", power.per_kwh, unit, text, "price")
    text = f"of {carbon.date}; {carbon.source}"
    add("carbon.intensity", "carbon of the grid", carbon.g_per_kwh, "g/kWh", text, "price")
    for blend in BLENDS.values():
        title = f"share of prompt tokens, {blend.title.lower()}"
        add(f"blend.{blend.name}", title, blend.input_share, "", "s001, appendix F", "share")
    title = "the price that figures and costs of requests use"
    text = "this machine's own, else one for its device, else the lowest rent"
    add("headline", title, priced.headline, "", text, "price")


def _ages(known: Prices, suts: dict[str, Any]) -> list[str]:
    days = sorted(
        str(s.words["measured_on"])[:10] for s in suts.values() if "measured_on" in s.words
    )
    if not days:
        return []
    return [f"Price: `{note}`" for note in known.notes(date.fromisoformat(days[0]))]


def _tokens(
    seen: Any, entries: Any, blocks: Blocks, known: Prices, rates: list[Rate], reference: str
) -> None:
    """Seconds and cost of a million tokens: prefill, decode, and each blend, at each price."""
    for part, work in WORKS.items():
        where = seen.where(reference, part if part in PARTS else None)
        title = f"time of a million tokens, {part}, at scenario {reference}"
        found = phase_cost.time_of(blocks, work)
        seen.enter(f"seconds.{part}", title, found, where, estimator=LINEAR)
    for (rate, part), cost in phase_cost.cost_table(blocks, rates).items():
        where = seen.where(reference, part if part in PARTS else None)
        note = prices.hardware_note(_offer(known, rate), _device(seen))
        title = f"cost of a million tokens, {part}, at the price {rate}"
        shared = {"unit": f"{cost.rate.currency}/1M", "estimator": LINEAR, "notes": note}
        total = _explained(cost.total, seen)
        seen.enter(f"cost.{part}.{rate}", title, total, _fed(where, cost.rate, seen), **shared)
        if cost.rate.capital is not Capital.RENTED:
            title = f"{title}, without electricity"
            seen.enter(f"cost_machine.{part}.{rate}", title, cost.machine, where, **shared)


def _fed(where: Where, rate: Rate, seen: Any) -> Where:
    """Costs with electricity rest on the energy windows of the scenario, too."""
    if rate.per_kwh is None or seen.windows.empty:
        return where
    kept = {key: where[key] for key in ("sut", "status", "scenario")}
    return {**kept, "kind": ["phase", "window"]}


def _explained(found: Estimate, seen: Any) -> Estimate:
    """The meter's own reason where a quantity lacks its energy."""
    if found.value is not None or found.reason != phase_cost.NO_ENERGY:
        return found
    return Estimate.undefined(_why_no_energy(seen), found.unit, found.n)


def _why_no_energy(seen: Any) -> str:
    reason = str(seen.words.get("meter_missing") or phase_cost.NO_ENERGY)
    return reason if reason.startswith(NO_ENERGY) else f"{NO_ENERGY}: {reason}"


def _energy(seen: Any, entries: Any, blocks: Blocks, known: Prices, reference: str) -> None:
    """Joules and carbon of tokens, and the power of idling; missing is missing."""
    where: Where = {"kind": "window", "sut": seen.sut}
    for part, work in WORKS.items():
        joules = _explained(phase_cost.energy_of(blocks, work), seen)
        title = f"energy per token, {part}, at scenario {reference}"
        per_token = entries.scaled(joules, 1e-6, "J")
        seen.enter(f"joules.{part}", title, per_token, where, estimator=LINEAR)
        carbon = _explained(phase_cost.carbon_of(blocks, work, known.carbon.g_per_kwh), seen)
        title = f"carbon of a million tokens, {part}, at scenario {reference}"
        seen.enter(f"carbon.{part}", title, carbon, where, unit="gCO2e/1M", estimator=LINEAR)
    idle = {block: value.idle_w for block, value in blocks.items() if value.idle_w is not None}
    found = entries.mean(idle, "W") if idle else entries.missing(_why_no_energy(seen), "W")
    seen.enter("idle_power", "power of the idle device", found, {**where, "part": "idle"})


def _requests(seen: Any, entries: Any, known: Prices, rate: Rate) -> None:
    """A thousand requests of each scenario, one at a time, at one price."""
    note = prices.hardware_note(_offer(known, rate.name), _device(seen))
    for scenario in seen.scenarios:
        blocks = seen.blocks(scenario)
        if not blocks:
            continue
        prompt, _, generated = scenario.partition("/")
        work = request(int(prompt), int(generated))
        where, name = seen.where(scenario), entries.tag(scenario)
        title = f"time of a request, scenario {scenario}"
        seen.enter(
            f"request.{name}", title, phase_cost.time_of(blocks, work), where, estimator=LINEAR
        )
        cost = phase_cost.cost_of(blocks, work.times(REQUESTS), rate)
        title = f"cost of a thousand requests, scenario {scenario}, at the price {rate.name}"
        total, shared = _explained(cost.total, seen), {"estimator": LINEAR, "notes": note}
        seen.enter(f"requests_cost.{name}", title, total, _fed(where, rate, seen), **shared)


def _months(
    seen: Any, entries: Any, blocks: Blocks, known: Prices, rates: list[Rate], reference: str
) -> None:
    """Ten million tokens a month: hours, cost at each price, and when buying has paid off."""
    where = seen.where(reference)
    hours = entries.scaled(phase_cost.time_of(blocks, MONTH), 1 / 3600, "h")
    title = f"hours of ten million tokens, {DEFAULT_BLEND}"
    seen.enter("month_hours", title, hours, where, estimator=LINEAR)
    own = known.own()
    for rate in rates:
        cost = monthly(blocks, MONTH, rate)
        note = prices.hardware_note(_offer(known, rate.name), _device(seen))
        title = f"cost of ten million tokens a month, {DEFAULT_BLEND}, at the price {rate.name}"
        total, shared = _explained(cost.total, seen), {"estimator": LINEAR, "notes": note}
        seen.enter(
            f"month.{rate.name}", title, total, _fed(where, rate, seen), n=len(blocks), **shared
        )
        if rate.capital is not Capital.RENTED:
            continue
        _break_even(seen, entries, own, known, blocks, rate, where)


def _break_even(
    seen: Any,
    entries: Any,
    own: Tier | OwnedMachine | None,
    known: Prices,
    blocks: Blocks,
    rate: Rate,
    where: Where,
) -> None:
    """Months until buying this machine has paid off; at least those without electricity."""
    title = f"months until owning this machine has paid off against {rate.name}"
    months = entries.missing(NO_OWNER if own is None else RENTED_HERE, "months")
    if isinstance(own, OwnedMachine):
        name = str(known.this_machine)
        bought = phase_cost.owned(name, own, known.electricity, Capital.UP_FRONT)
        found = break_even(own, monthly(blocks, MONTH, bought), monthly(blocks, MONTH, rate))
        months = _explained(found.months, seen)
        least = found.no_sooner_than
        name = f"break_even_least.{rate.name}"
        seen.enter(name, f"{title}, without electricity", least, where, estimator=LINEAR)
        where = _fed(where, bought, seen)
    seen.enter(f"break_even.{rate.name}", title, months, where, estimator=LINEAR)
