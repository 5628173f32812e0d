"""Waiting under open Poisson arrivals: M/D/1, M/G/1, M/G/c; and in front of arrivals as they came.

A closed loop of N agents is not such a queue: its arrivals depend on its departures. Check the
arrivals and the service times with `check` before using a law of steady states.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from math import exp, floor, lgamma, log

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from inferometer.stats import inputs
from inferometer.stats.result import Result

NEAR_ZERO_CV = 0.1


@dataclass(frozen=True, repr=False)
class Queue(Result):
    """Steady state of a queue; times in seconds, lengths in requests.

    `Wq` waiting and `W` waiting plus service; `Lq` waiting requests and `L` all in the system;
    `rho` is the utilisation of each of the `servers`.
    """

    Wq: float
    W: float
    Lq: float
    L: float
    service_s: float
    rho: float
    cv: float
    arrival_rate_per_s: float
    servers: int = 1

    def p_wait_le(self, t: float) -> float | None:
        """Return P(wait <= t seconds); None for several servers or where the law is needed.

        Exact for constant service (cv 0, Franx 2001, Oper. Res. Lett. 29, 221-229, in a form with
        positive terms only) and exponential service (cv 1); any queue has ``P(0) = 1 - rho``.
        """
        at = inputs.number("t", t)
        if at < 0:
            return 0.0
        if self.servers > 1:
            return None
        if at == 0:
            return 1 - self.rho
        if self.cv == 0:
            return _md1_wait_cdf(at / self.service_s, self.rho)
        if self.cv == 1:
            return 1 - self.rho * exp(-(1 - self.rho) * at / self.service_s)
        return None


@dataclass(frozen=True, repr=False)
class QueueCheck(Result):
    """Whether measured arrivals and service times allow M/D/1, M/G/1 or neither.

    `dispersion` is the squared CV of the gaps between arrivals (1 for Poisson); `p_poisson` tests
    exponential gaps (Lilliefors); `use` is "md1", "mg1" or None with the reason.
    """

    dispersion: float
    p_poisson: float
    service_s: float
    service_cv: float
    rho: float
    use: str | None
    n: int
    reason: str | None = None


def md1(service_s: float, rho: float) -> Queue:
    """Give the steady state of M/D/1: Poisson arrivals, constant service, one server.

    Parameters
    ----------
    service_s : service time in seconds, above 0.
    rho : utilisation, at least 0 and below 1.

    Returns
    -------
    Queue
        ``Wq = rho S / (2 (1 - rho))``.

    Raises
    ------
    ValueError
        rho of 1 or more (the queue grows without end), negative rho, service time not above 0.

    Notes
    -----
    Pollaczek (1930) and Khinchine (1932) with no variance; Kleinrock (1975), eq. 5.64.
    """
    return mg1(service_s, rho, 0.0)


def mg1(service_s: float, rho: float, cv: float) -> Queue:
    """Give the steady state of M/G/1 from the mean and the CV of the service time.

    Parameters
    ----------
    service_s, rho : as in `md1`.
    cv : coefficient of variation of the service time, at least 0 (0: M/D/1, 1: M/M/1).

    Returns
    -------
    Queue
        ``Wq = rho S (1 + cv^2) / (2 (1 - rho))``; `p_wait_le` is None unless cv is 0 or 1.

    Raises
    ------
    ValueError
        As `md1`; a negative cv.

    Notes
    -----
    Pollaczek-Khinchine: Kleinrock (1975), Queueing Systems 1, eq. 5.63; Little (1961).
    """
    service = inputs.number("service_s", service_s, above=0)
    load, spread = inputs.number("rho", rho), inputs.number("cv", cv)
    if not 0 <= load < 1:
        raise ValueError(f"rho: must be at least 0 and below 1 for a steady state, got {load:g}")
    if spread < 0:
        raise ValueError(f"cv: must be at least 0, got {spread:g}")
    wait = load * service * (1 + spread**2) / (2 * (1 - load))
    rate = load / service
    return Queue(
        Wq=wait,
        W=wait + service,
        Lq=rate * wait,
        L=rate * (wait + service),
        service_s=service,
        rho=load,
        cv=spread,
        arrival_rate_per_s=rate,
    )


def mgc(service_s: float, rho: float, cv: float, servers: int) -> Queue:
    """Give the steady state of M/G/c: c servers in front of one queue, approximately.

    Parameters
    ----------
    service_s, rho, cv, servers : as in `mg1`; rho is the utilisation of each of `servers` (c).

    Returns
    -------
    Queue
        ``Wq = (1 + cv^2)/2 * Wq(M/M/c)``, Erlang's formula scaled. Exact for one server and for
        exponential service (cv 1); an approximation elsewhere.

    Raises
    ------
    ValueError
        As `mg1`; fewer than 1 server.

    Notes
    -----
    Lee and Longton (1959), Oper. Res. Quart. 10, 56-71; M/M/c: Kleinrock (1975), eq. 3.40.
    """
    count = inputs.whole("servers", servers, 1)
    single = mg1(service_s, rho, cv)
    if count == 1:
        return single
    blocked = 1.0  # Erlang's B by its recursion in the number of servers
    for number in range(1, count + 1):
        blocked = count * single.rho * blocked / (number + count * single.rho * blocked)
    delayed = blocked / (1 - single.rho * (1 - blocked))
    wait = delayed * single.service_s / (count * (1 - single.rho)) * (1 + single.cv**2) / 2
    rate = count * single.arrival_rate_per_s
    sojourn = wait + single.service_s
    return replace(
        single,
        **{"Wq": wait, "W": sojourn, "Lq": rate * wait, "L": rate * sojourn},
        arrival_rate_per_s=rate,
        servers=count,
    )


def fifo_waits(arrival_s: ArrayLike, service_s: ArrayLike | float, servers: int = 1) -> np.ndarray:
    """Give each request's wait when these very arrivals are served first come, first served.

    No steady state and no law of arrivals is assumed: the queue starts empty, rho may exceed 1.

    Parameters
    ----------
    arrival_s : arrival times in seconds, ascending, at least 1.
    service_s : seconds, above 0: one for all requests, or one for each.
    servers : how many requests are served at the same time.

    Returns
    -------
    numpy.ndarray
        Seconds from arrival to start of service, in the order of arrival.

    Raises
    ------
    ValueError
        Descending arrivals; service times not above 0, or another number.

    Notes
    -----
    Lindley (1952), Proc. Camb. Phil. Soc. 48, 277-289; several servers: Kiefer and Wolfowitz
    (1955), Trans. Am. Math. Soc. 78, 1-18.
    """
    times = inputs.sample("arrival_s", arrival_s)
    if np.any(np.diff(times) < 0):
        raise ValueError("arrival_s: must be ascending")
    spread = np.full(times.size, service_s) if np.ndim(service_s) == 0 else service_s
    service = inputs.positive_sample("service_s", spread)
    inputs.same_length(arrival_s=times, service_s=service)
    free = [-np.inf] * inputs.whole("servers", servers, 1)
    waits = np.empty(times.size)
    for index, (at, needed) in enumerate(zip(times, service, strict=True)):
        begin = max(at, heapq.heappop(free))
        waits[index] = begin - at
        heapq.heappush(free, begin + needed)
    return waits


def check(arrival_s: ArrayLike, service_s: ArrayLike, alpha: float = 0.05) -> QueueCheck:
    """Say which queueing law measured arrivals and service times allow.

    Parameters
    ----------
    arrival_s : arrival times in seconds, ascending, at least 20.
    service_s : service times in seconds, each above 0, at least 20.
    alpha : level of the test of exponential gaps.

    Returns
    -------
    QueueCheck
        `use` is None when gaps are not exponential or rho is 1 or more; "md1" when the service
        CV is at most .1; otherwise "mg1" with the measured CV.

    Raises
    ------
    ValueError
        Too few or descending times.

    Notes
    -----
    Lilliefors (1969), J. Am. Stat. Assoc. 64, 387-389, by simulation.
    """
    times = inputs.sample("arrival_s", arrival_s, 20)
    service = inputs.positive_sample("service_s", service_s, 20)
    level, gaps = inputs.fraction("alpha", alpha), np.diff(times)
    if (gaps < 0).any() or gaps.sum() == 0:
        raise ValueError("arrival_s: must be ascending")
    p = _exponential_p(gaps)
    mean, cv = float(service.mean()), float(service.std(ddof=1) / service.mean())
    rho = mean / float(gaps.mean())
    reason = None
    if p < level:
        reason = "the gaps between arrivals are not exponential"
    elif rho >= 1:
        reason = f"rho is {rho:.3g}: no steady state"
    law = "md1" if cv <= NEAR_ZERO_CV else "mg1"
    dispersion = float(gaps.var(ddof=1) / gaps.mean() ** 2)
    return QueueCheck(dispersion, p, mean, cv, rho, None if reason else law, times.size, reason)


def _exponential_p(gaps: np.ndarray) -> float:
    from statsmodels.stats.diagnostic import lilliefors

    return float(lilliefors(gaps, dist="exp", pvalmethod="table")[1])


def _md1_wait_cdf(u: float, rho: float) -> float:
    """Return P(wait <= u service times) from the cumulative law of the number waiting."""
    if rho == 0:
        return 1.0
    k = floor(u) + 1
    cumulative = _md1_waiting(k - 1, rho)
    gap = rho * (k - u)
    j = np.arange(k)
    logs = j * log(gap) - np.array([lgamma(i + 1) for i in j]) - gap if gap > 0 else None
    if logs is None:
        return float(cumulative[k - 1])
    return float(min(np.exp(logs) @ cumulative[k - 1 - j], 1.0))


def _md1_waiting(most: int, rho: float) -> np.ndarray:
    """Return P(at most m requests wait), m = 0 .. most, from the embedded chain."""
    arrivals = stats.poisson.pmf(np.arange(most + 3), rho)
    state = np.zeros(most + 2)
    state[0] = 1 - rho
    for i in range(most + 1):
        inflow = state[i] - state[0] * arrivals[i]
        inflow -= float(state[1 : i + 1] @ arrivals[i:0:-1])
        state[i + 1] = max(inflow / arrivals[0], 0.0)
    total: np.ndarray = np.minimum(np.cumsum(state)[1:], 1.0)
    return total
