"""TR132: its figures."""

from typing import Any

from inferometer.analysis import Ledger
from inferometer.profilers import drawing
from inferometer.profilers.summary import Profile
from inferometer.reporting import figures as house


def figures(ledger: Ledger, suts: dict[str, Profile]) -> dict[str, Any]:
    """File name -> figure; only those whose SUTs were measured."""
    measured = [seen for seen in suts.values() if seen.levels]
    traced = [seen for seen in suts.values() if seen.traced]
    drawn: dict[str, Any] = {}
    with house.style():
        if measured:
            drawn["time"] = drawing.against_n(
                ledger,
                measured,
                "s_per_token",
                "Time per output token of the whole run",
                "seconds",
                raw="s_per_token",
            )
        if traced:
            drawn["calls"] = drawing.against_n(
                ledger, traced, traced[0].calls, "Calls per output token", "calls", log=True
            )
            drawn["amortization"] = drawing.against_n(
                ledger, traced, "amortization", "Amortization of calls", "factor", ideal=True
            )
            drawn["classes"] = drawing.by_class(traced, 1e-3, "milliseconds per token")
    return drawn
