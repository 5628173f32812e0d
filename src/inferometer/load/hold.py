"""A hold: one load for minutes, with clocks, temperatures and throttling read beside it."""

import asyncio
from contextlib import suppress

from inferometer import machine
from inferometer.load.open_cell import measure_open_loop
from inferometer.records import Record
from inferometer.session import CellOutcome, CellRun


async def measure_hold(run: CellRun) -> CellOutcome:
    """An open loop for `hold_s`; records of kind `health` tell what the machine says meanwhile."""
    watch = asyncio.create_task(_watch(run))
    try:
        return await measure_open_loop(run, seconds=run.effort.hold_s)
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch


async def _watch(run: CellRun) -> None:
    (sut,) = run.suts
    while True:
        # in a thread: a driver that answers slowly must not hold the load back
        seen = await asyncio.to_thread(machine.readings)
        run.append({"kind": "health", "at_s": round(sut.client.now(), 3), **health(seen)})
        await asyncio.sleep(run.effort.health_period_s)


def health(seen: Record) -> Record:
    """Columns of `machine.readings`: what a machine does not offer is `None`.

    The hottest of the processor's sensors in Celsius, clocks in MHz, and whether a GPU says that
    it is throttled, for the first of them.
    """
    temperatures = (seen["temperatures_c"] or {}).values()
    gpu = (seen["gpus"] or [{}])[0]
    throttled = gpu.get("throttle_reasons")
    return {
        "cpu_mhz": seen["cpu_mhz"],
        "cpu_temperature_c": max(temperatures, default=None),
        "gpu_mhz": gpu.get("sm_mhz"),
        "gpu_temperature_c": gpu.get("temperature_c"),
        "gpu_throttle_reasons": None if throttled is None else ",".join(throttled) or "none",
    }
