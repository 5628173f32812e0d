"""TR128: what queueing theory predicts, beside what was observed."""

from typing import Any

from inferometer.analysis import Ledger

LAWS = {
    "md1": ("md1_wait_s", "M/D/1: Poisson arrivals, constant service of one over the capacity"),
    "mg1": ("mg1_wait_s", "M/G/1: the same with the measured coefficient of variation"),
}
QUEUES = {
    "fast": "one server at the whole capacity",
    "slow": "as many servers as slots, each at the pace of a full server",
}


def findings(ledger: Ledger, entries: Any, seen: Any) -> None:
    """Predicted waits and latencies at each rho, and observed over predicted, paired by block."""
    for rho in seen.levels:
        where = seen.where("load", rho=rho)
        for law, (column, title) in LAWS.items():
            if seen.slots == 1 and rho < 1:
                _law(ledger, entries, seen, rho, law, column, title, where)
        for queue, title in QUEUES.items():
            if seen.slots == 1 and queue == "slow":
                continue  # with one slot both are the same queue
            _queue(ledger, entries, seen, rho, queue, title, where)
    if seen.slots == 1 and any(rho >= 1 for rho in seen.levels):
        _refused(ledger, entries, seen)


def _law(
    ledger: Ledger,
    entries: Any,
    seen: Any,
    rho: float,
    law: str,
    column: str,
    title: str,
    where: dict,
) -> None:
    at = entries.tag(rho)
    predicted = seen.at(rho, column)
    name = f"{seen.sut}.{law}_wait.{at}"
    entries.mean(ledger, name, f"wait by {title}, at rho {rho:g}", predicted, "s", where, low=0)
    entries.ratio(
        ledger,
        f"{seen.sut}.over_{law}.{at}",
        f"observed wait over that of {law.upper()} at rho {rho:g}",
        seen.at(rho, "wait_s"),
        predicted,
        where,
        notes="the law is of a steady state, the cell begins with an empty server",
    )


def _queue(
    ledger: Ledger, entries: Any, seen: Any, rho: float, queue: str, title: str, where: dict
) -> None:
    at = entries.tag(rho)
    predicted = seen.at(rho, f"{queue}_s")
    entries.mean(
        ledger,
        f"{seen.sut}.{queue}_latency.{at}",
        f"latency of the same arrivals in a first-come-first-served queue, {title}, at rho {rho:g}",
        predicted,
        "s",
        where,
        low=0,
    )
    entries.ratio(
        ledger,
        f"{seen.sut}.over_{queue}.{at}",
        f"observed latency over that of the queue with {title}, at rho {rho:g}",
        seen.at(rho, "latency_s"),
        predicted,
        where,
    )


def _refused(ledger: Ledger, entries: Any, seen: Any) -> None:
    """Laws of steady states have no answer at rho 1 or more: said, not left out."""
    for rho in (rho for rho in seen.levels if rho >= 1):
        for law in LAWS:
            ledger.add(
                f"{seen.sut}.{law}_wait.{entries.tag(rho)}",
                f"wait by {law.upper()} at rho {rho:g}",
                None,
                unit="s",
                n=0,
                estimator=f"queueing.{law}",
                where=seen.where("load", rho=rho),
                reason="rho is 1 or more: there is no steady state",
            )
