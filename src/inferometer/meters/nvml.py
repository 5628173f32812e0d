"""NVIDIA GPUs through NVML: energy, power, clocks, temperature, throttling, memory."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from inferometer.meters.base import EnergyChannel, MeterAbsent, MeterLost, Reading

DEVICE_NODES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""Made by the driver, on Linux and under WSL."""
POWER_AVERAGE_S = 1.0
"""Several generations report power as a running mean over about this long."""
ALERTS_C = (85, 90)
CLOCK_EVENTS = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}
"""Bits of the clock event reasons, formerly throttle reasons, as in nvml.h."""
GONE = (
    *("NVML_ERROR_GPU_IS_LOST", "NVML_ERROR_RESET_REQUIRED", "NVML_ERROR_GPU_NOT_FOUND"),
    *("NVML_ERROR_UNINITIALIZED", "NVML_ERROR_DRIVER_NOT_LOADED"),
)
"""Errors after which a GPU does not come back within a run."""


def start(module: Any = None) -> Any:
    """Initialise NVML and return its module; each call wants one `nvmlShutdown`.

    `module` is pynvml unless a test brings its own. Raises `MeterAbsent` without a driver.
    """
    if module is None:
        # importing pynvml costs 20 ms; without a driver's device node there is nothing to ask
        if not any(node.exists() for node in DEVICE_NODES):
            raise MeterAbsent("no NVIDIA driver")
        import pynvml

        module = pynvml
    try:
        module.nvmlInit()
    except module.NVMLError as error:
        raise MeterAbsent(f"no NVIDIA driver that answers ({error})") from error
    return module


def visible(nvml: Any) -> list[int]:
    """NVML indices of the GPUs that CUDA programs started from here see, in their order.

    As in CUDA, the first name in CUDA_VISIBLE_DEVICES that is no GPU ends the list. Slices of a
    GPU (MIG) are no GPUs here: they have no energy counter of their own.
    """
    count = nvml.nvmlDeviceGetCount()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return list(range(count))
    uuids = [nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetHandleByIndex(i)) for i in range(count)]
    found = []
    for name in map(str.strip, named.split(",")):
        if name.isdigit() and int(name) < count:
            found.append(int(name))
        elif name.startswith("GPU-") and any(uuid.startswith(name) for uuid in uuids):
            found.append(next(i for i, uuid in enumerate(uuids) if uuid.startswith(name)))
        else:
            break
    return found


class GpuMeter:
    """One GPU. Energy comes from its counter, or from power where it has none (before Volta).

    Parameters
    ----------
    gpu
        Position among the GPUs that `visible` lists: 0 is the `cuda:0` of a worker.
    module
        pynvml unless a test brings its own.

    Raises `MeterAbsent` when there is no driver, no such GPU, or it does not answer.
    """

    def __init__(self, gpu: int = 0, module: Any = None) -> None:
        self._nvml = start(module)
        try:
            self._open(gpu)
        except self._nvml.NVMLError as error:
            self.close()
            raise MeterAbsent(f"GPU {gpu} does not answer ({error})") from error
        except (MeterAbsent, MeterLost) as error:
            self.close()
            raise MeterAbsent(str(error)) from error

    def _open(self, gpu: int) -> None:
        shown = visible(self._nvml)
        if gpu >= len(shown):
            named = os.environ.get("CUDA_VISIBLE_DEVICES")
            why = "" if named is None else f" (CUDA_VISIBLE_DEVICES={named})"
            raise MeterAbsent(f"no GPU {gpu}; {len(shown)} can be seen{why}")
        self.name = f"nvml:{shown[gpu]}"
        self._handle = self._nvml.nvmlDeviceGetHandleByIndex(shown[gpu])
        self.energy = self._channel(_values(self._nvml, self._handle))

    def _channel(self, values: dict[str, Any]) -> EnergyChannel | None:
        if values["energy_j"] is not None:
            return EnergyChannel("energy_j", "gpu", f"{self.name} energy counter")
        if values["power_w"] is not None:
            return EnergyChannel(
                "power_w", "gpu", f"{self.name} power", update_period_s=POWER_AVERAGE_S
            )
        return None

    def read(self) -> Reading:
        """All quantities; `values` as in `volatile`, and `energy_j` since the driver was loaded."""
        before = time.monotonic()
        energy = _value(self._nvml, _energy_j, self._handle)
        at = (before + time.monotonic()) / 2
        values = {"energy_j": energy, **_values(self._nvml, self._handle, but="energy_j")}
        return Reading(self.name, at, values, alerts(values["temperature_c"]))

    def close(self) -> None:
        """Shut NVML down, once for the call of `start`."""
        with suppress(self._nvml.NVMLError):  # a driver that went away has nothing to shut down
            self._nvml.nvmlShutdown()


def volatile(module: Any = None) -> dict[str, Any]:
    """Readings of every GPU for a manifest: `{"gpus": [...]}`, or `None` in place of the list.

    Clocks in MHz, temperature in Celsius, power in W, utilisation and fan in per cent, memory in
    bytes, `throttle_reasons` by name. What a GPU does not offer is `None`; one that is lost has
    only `reason`.
    """
    try:
        nvml = start(module)
    except MeterAbsent:
        return {"gpus": None}
    rows: list[dict[str, Any]] = []
    try:
        for index in range(nvml.nvmlDeviceGetCount()):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                rows.append(_values(nvml, handle, but="energy_j"))
            except (MeterLost, nvml.NVMLError) as error:
                rows.append({"reason": str(error)})
    finally:
        nvml.nvmlShutdown()
    return {"gpus": rows or None}


def clock_events(bits: int) -> list[str]:
    """Names of the reasons why the clocks are below their maximum; an unknown bit is its number."""
    set_bits = (1 << position for position in range(bits.bit_length()) if bits >> position & 1)
    return [CLOCK_EVENTS.get(bit, f"bit_{bit:#x}") for bit in set_bits]


def alerts(temperature_c: float | None) -> tuple[str, ...]:
    """Alerts at 85 and 90 degrees Celsius; none without a temperature."""
    if temperature_c is None:
        return ()
    return tuple(f"temperature_{limit}_c" for limit in ALERTS_C if temperature_c >= limit)


def _energy_j(nvml: Any, handle: Any) -> float:
    return nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000  # from millijoules


SENSORS: dict[str, Any] = {
    "energy_j": _energy_j,
    "power_w": lambda n, h: n.nvmlDeviceGetPowerUsage(h) / 1000,
    "sm_mhz": lambda n, h: n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM),
    "memory_mhz": lambda n, h: n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_MEM),
    "temperature_c": lambda n, h: n.nvmlDeviceGetTemperature(h, n.NVML_TEMPERATURE_GPU),
    "utilisation_percent": lambda n, h: n.nvmlDeviceGetUtilizationRates(h).gpu,
    "fan_percent": lambda n, h: n.nvmlDeviceGetFanSpeed(h),
    "throttle_reasons": lambda n, h: clock_events(n.nvmlDeviceGetCurrentClocksThrottleReasons(h)),
    "memory_used_bytes": lambda n, h: n.nvmlDeviceGetMemoryInfo(h).used,
    "memory_total_bytes": lambda n, h: n.nvmlDeviceGetMemoryInfo(h).total,
}


def _values(nvml: Any, handle: Any, but: str = "") -> dict[str, Any]:
    values = {name: _value(nvml, read, handle) for name, read in SENSORS.items() if name != but}
    if all(value is None for value in values.values()):
        raise MeterLost("the GPU refuses every reading")
    return values


def _value(nvml: Any, read: Any, handle: Any) -> Any:
    try:
        return read(nvml, handle)
    except nvml.NVMLError as error:
        if error.value in {getattr(nvml, name) for name in GONE}:
            raise MeterLost(f"the GPU is gone ({error})") from error
        return None
