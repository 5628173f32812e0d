"""Which SUT serves a kind of work best at some N: from findings, with what they leave open.

TR130 enters the findings under the names below and draws its decisions from them; the verb
`decide` reads them again, for instance with a limit to the latency.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from inferometer.findings import Finding

Findings = Mapping[str, Finding]


@dataclass(frozen=True)
class Over:
    """The rate of one SUT over that of another; `low` and `high` are simultaneous, or `None`."""

    value: float
    low: float | None
    high: float | None
    finding: str


@dataclass(frozen=True)
class Standing:
    """The SUT with the highest rate, and those that cannot be told apart from it.

    `closest` is the rival that comes nearest to it beyond the interval (lowest lower end).
    """

    leader: str
    alike: list[str]
    closest: str | None

    @property
    def best(self) -> str | None:
        """The leader where it has rivals and is ahead of each beyond the interval."""
        return self.leader if self.closest is not None and not self.alike else None


def tag(workload: str | None, agents: int) -> str:
    """The end of a finding's name: `rag.n4`, or `n4` for the requests of one fixed length."""
    return f"{workload}.n{agents}" if workload else f"n{agents}"


def rate_name(sut: str, workload: str, agents: int) -> str:
    """Requests completed per second."""
    return f"{sut}.requests.{tag(workload, agents)}"


def p95_name(sut: str, workload: str, agents: int) -> str:
    """95th percentile of a block's latencies, in seconds."""
    return f"{sut}.latency_p95.{tag(workload, agents)}"


def ratio_name(a: str, b: str, where: str) -> str:
    """The total of `a` over that of `b`; pairs are entered once, in the order of the design."""
    return f"ratio.{a}.{b}.{where}"


def lead_name(workload: str, agents: int) -> str:
    """The best SUT's rate over that of its closest rival."""
    return f"lead.{tag(workload, agents)}"


def best_name(workload: str, agents: int) -> str:
    """The best SUT by name, or "undecided"."""
    return f"best.{tag(workload, agents)}"


def cells(findings: Findings) -> dict[tuple[str, int], list[str]]:
    """(workload, agents) -> the SUTs that have a rate there."""
    found: dict[tuple[str, int], list[str]] = {}
    for name, finding in findings.items():
        sut, _, rest = name.partition(".requests.")
        if rest and finding.value is not None:
            workload, _, agents = rest.rpartition(".n")
            found.setdefault((workload, int(agents)), []).append(sut)
    return found


def over(findings: Findings, a: str, b: str, where: str) -> Over | None:
    """The rate of `a` over that of `b`, whichever way round it was entered."""
    straight, turned = ratio_name(a, b, where), ratio_name(b, a, where)
    name = straight if straight in findings else turned
    found = findings.get(name)
    if found is None or not isinstance(found.value, int | float):
        return None
    ends = (found.interval.low, found.interval.high) if found.interval else (None, None)
    if name == straight:
        return Over(float(found.value), *ends, name)
    low, high = (1 / end if end else None for end in reversed(ends))
    return Over(1 / float(found.value), low, high, name)


def standing(findings: Findings, suts: Iterable[str], workload: str, agents: int) -> Standing:
    """Who leads among `suts`; a rival is behind where the ratio's interval lies above 1."""
    rates = {sut: float(findings[rate_name(sut, workload, agents)].value or 0.0) for sut in suts}
    leader = max(rates, key=lambda sut: rates[sut])
    alike, nearest = [], {}
    for sut in rates:
        if sut == leader:
            continue
        seen = over(findings, leader, sut, tag(workload, agents))
        low = seen.low if seen else None
        nearest[sut] = low if low is not None else 0.0
        if low is None or low <= 1:
            alike.append(sut)
    closest = min(nearest, key=lambda sut: nearest[sut]) if nearest else None
    return Standing(leader, alike, closest)
