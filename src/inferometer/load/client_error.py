"""The client's own error: its records beside the stamps of a server of known timing."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from inferometer.load.calibration_process import ServerStamps
from inferometer.records import Record

LIMITS = {
    "added_ttft_p50_s": 0.6e-3,
    "added_ttft_p99_s": 2e-3,
    "schedule_lag_p99_s": 2e-3,
    "cpu_s_per_1000_tokens": 0.1,
}
"""Beyond these the client is no longer negligible beside a server."""


@dataclass(frozen=True)
class Plan:
    """Effort of a calibration: the server's timing, tokens a request, seconds a load."""

    ttft_ms: float
    itl_ms: float
    output_tokens: int
    seconds: float


@dataclass(frozen=True)
class LoadCalibration:
    """The client's own error under one load.

    `added_ttft`: time to first token beyond the server's own; `token_stamp_error`: a token's
    stamp after the server wrote it; `send_delay`: from the client's turn to the socket, which
    no TTFT contains; `schedule_lag`: sent after scheduled, `None` in a closed loop;
    `server_lateness`: the server's own, charged to nobody. Quantiles are of `requests`, or of
    `tokens`; a p99 of fewer than 100 is close to their largest.
    """

    load: str
    requests: int
    tokens: int
    added_ttft_p50_s: float
    added_ttft_p99_s: float
    token_stamp_error_p50_s: float
    token_stamp_error_p99_s: float
    send_delay_p50_s: float
    send_delay_p99_s: float
    schedule_lag_p50_s: float | None
    schedule_lag_p99_s: float | None
    server_lateness_p99_s: float
    cpu_s_per_1000_tokens: float

    def beyond_limits(self) -> list[str]:
        """Names of the figures that pass their limit."""
        figures = ((name, getattr(self, name), limit) for name, limit in LIMITS.items())
        return [name for name, figure, limit in figures if figure is not None and figure > limit]


def summarize(
    name: str,
    records: list[Record],
    stamps: dict[int, ServerStamps],
    clock_origin: float,
    plan: Plan,
    cpu_s: float,
) -> LoadCalibration:
    """The client's error from its records and the server's stamps of the same requests."""
    ttft, errors, lateness = [], [], []
    for record in records:
        server = stamps[record["seed"]]
        own_s = record["first_token_s"] - record["sent_s"]
        ttft.append(own_s - (server.written_s[0] - server.arrived_s))
        taken = clock_origin + record["sent_s"] + np.array(record["token_us"]) / 1e6
        errors.append(taken - server.written_s)
        planned = plan.ttft_ms / 1e3 + np.arange(len(server.written_s)) * plan.itl_ms / 1e3
        lateness.append(np.array(server.written_s) - server.arrived_s - planned)
    lags = [record["lag_s"] for record in records if "lag_s" in record]
    delays = [record["sent_s"] - record["begun_s"] for record in records]
    tokens = sum(len(record["token_us"]) for record in records)
    return LoadCalibration(
        load=name,
        requests=len(records),
        tokens=tokens,
        added_ttft_p50_s=_quantile(ttft, 0.5),
        added_ttft_p99_s=_quantile(ttft, 0.99),
        token_stamp_error_p50_s=_quantile(np.concatenate(errors), 0.5),
        token_stamp_error_p99_s=_quantile(np.concatenate(errors), 0.99),
        send_delay_p50_s=_quantile(delays, 0.5),
        send_delay_p99_s=_quantile(delays, 0.99),
        schedule_lag_p50_s=_quantile(lags, 0.5) if lags else None,
        schedule_lag_p99_s=_quantile(lags, 0.99) if lags else None,
        server_lateness_p99_s=_quantile(np.concatenate(lateness), 0.99),
        cpu_s_per_1000_tokens=round(cpu_s / tokens * 1000, 4),
    )


def _quantile(values: Any, share: float) -> float:
    return round(float(np.quantile(values, share)), 6)
