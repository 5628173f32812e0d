"""A client's errors: what it reports beside the server's own log of the same requests."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from inferometer.errors import UserError

from .reported import Reported, Request
from .running import Outcome, Served, cpu_between

SAME_S = 2e-6
"""The server rounds the arrival that it writes into a text to a millionth of a second."""


@dataclass(frozen=True)
class Figures:
    """Errors of one client in one run, in seconds; `None` where it does not export enough.

    `ttft_s`: its time to first token beyond the server's; `stamp_p99_s`: of its tokens' stamps
    after the server wrote them; `gap_p99_s` and `mean_gap_p99_s`: absolute, of the times between
    tokens and of their mean in a request; `throughput_share`: absolute, of its tokens per second,
    against all tokens from the first arrival to the last writing. `arrivals_s` are the server's.
    """

    ttft_p50_s: float
    ttft_p99_s: float
    stamp_p99_s: float | None
    gap_p99_s: float | None
    mean_gap_p99_s: float
    throughput_share: float
    cpu_s_per_1000_tokens: float
    arrivals_s: list[float]
    requests: int
    wall_s: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def figures(outcome: Outcome, leading: int, expected: int) -> Figures:
    """Compare; `leading` requests at the start are no part of the errors of times."""
    pairs = paired(outcome.reported, outcome.served)
    if len(pairs) != expected + leading:
        raise UserError(f"{len(pairs)} of {expected + leading} requests were reported as good")
    begin_s = pairs[0][1].arrived_s
    end_s = max(served.written_s[-1] for _, served in pairs)
    tokens = sum(len(served.written_s) for _, served in pairs)
    ttft, means, gaps, stamps = [], [], [], []
    ahead_s = outcome.wall_ahead_s if outcome.reported.wall_clock else 0.0
    for request, served in pairs[leading:]:
        truth = np.diff(served.written_s)
        ttft.append(request.ttft_s - (served.written_s[0] - served.arrived_s))
        means.append(abs(request.mean_gap_s - truth.mean()))
        if request.gaps_s is not None:
            gaps.append(np.abs(np.array(request.gaps_s) - truth))
            first_s = request.start_s - ahead_s + request.ttft_s
            stamps.append(first_s + np.cumsum([0.0, *request.gaps_s]) - served.written_s)
    return Figures(
        ttft_p50_s=_quantile(ttft, 0.5),
        ttft_p99_s=_quantile(ttft, 0.99),
        stamp_p99_s=_quantile(np.concatenate(stamps), 0.99) if stamps else None,
        gap_p99_s=_quantile(np.concatenate(gaps), 0.99) if gaps else None,
        mean_gap_p99_s=_quantile(means, 0.99),
        throughput_share=abs(outcome.reported.tokens_per_s * (end_s - begin_s) / tokens - 1),
        cpu_s_per_1000_tokens=cpu_between(outcome, begin_s, end_s) / tokens * 1e3,
        arrivals_s=[served.arrived_s for _, served in pairs],
        requests=len(pairs),
        wall_s=outcome.wall_s,
    )


def paired(reported: Reported, served: list[Served]) -> list[tuple[Request, Served]]:
    """Each request with the server's view of it, in order of arrival.

    By the arrival that stands in the text; where no text is exported by order, the last arrivals
    being those of the run. Raises `UserError` where the two do not fit.
    """
    requests = reported.requests
    if any(request.arrived_s is None for request in requests):
        if len(served) < len(requests):
            raise UserError(f"{len(requests)} requests reported, {len(served)} arrived")
        return list(zip(requests, served[len(served) - len(requests) :], strict=True))
    times = np.array([each.arrived_s for each in served])
    found = []
    for request in requests:
        place = int(np.argmin(np.abs(times - request.arrived_s)))
        if abs(times[place] - request.arrived_s) > SAME_S:
            raise UserError(f"a request that arrived at {request.arrived_s} is not in the log")
        found.append((request, served[place]))
    return sorted(found, key=lambda pair: pair[1].arrived_s)


def _quantile(values: object, share: float) -> float:
    return float(np.quantile(np.asarray(values), share))
