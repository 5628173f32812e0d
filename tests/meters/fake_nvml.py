"""A stand-in for pynvml: no GPU is at hand where these tests run.

Constants and exceptions are those of the real pynvml, so that names and codes are checked against
it; the functions answer from a small model of one GPU at a constant power.
"""

import time
from types import SimpleNamespace

import pynvml


class FakeNvml:
    def __init__(self, power_w=200.0, renewed_every_s=0.02, temperature_c=60, count=1):
        self.power_w, self.renewed_every_s = power_w, renewed_every_s
        self.temperature_c, self.count = temperature_c, count
        self.events = pynvml.nvmlClocksThrottleReasonSwPowerCap
        self.failing: dict[str, int] = {}
        self.lost = False
        self.started = 0
        self.fail("nvmlDeviceGetFanSpeed", pynvml.NVML_ERROR_NOT_SUPPORTED)

    def __getattr__(self, name):
        if name.startswith(("NVML_", "NVMLError")):
            return getattr(pynvml, name)
        raise AttributeError(name)

    def fail(self, function, code):
        self.failing[function] = code

    def _answer(self, function, value):
        if self.lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        if function in self.failing:
            raise pynvml.NVMLError(self.failing[function])
        return value

    def nvmlInit(self):
        self._answer("nvmlInit", None)
        self.started += 1

    def nvmlShutdown(self):
        self.started -= 1

    def nvmlDeviceGetCount(self):
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index):
        return self._answer("nvmlDeviceGetHandleByIndex", index)

    def nvmlDeviceGetUUID(self, handle):
        return f"GPU-{handle}000-aaaa"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        renewed = time.monotonic() // self.renewed_every_s * self.renewed_every_s
        return self._answer(
            "nvmlDeviceGetTotalEnergyConsumption", int(renewed * self.power_w * 1000)
        )

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._answer("nvmlDeviceGetPowerUsage", int(self.power_w * 1000))

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return self._answer("nvmlDeviceGetClockInfo", {1: 1980, 2: 2619}[kind])

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return self._answer("nvmlDeviceGetTemperature", self.temperature_c)

    def nvmlDeviceGetUtilizationRates(self, handle):
        return self._answer("nvmlDeviceGetUtilizationRates", SimpleNamespace(gpu=97, memory=40))

    def nvmlDeviceGetFanSpeed(self, handle):
        return self._answer("nvmlDeviceGetFanSpeed", 30)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle):
        return self._answer("nvmlDeviceGetCurrentClocksThrottleReasons", self.events)

    def nvmlDeviceGetMemoryInfo(self, handle):
        memory = SimpleNamespace(used=5 * 2**30, total=141 * 2**30)
        return self._answer("nvmlDeviceGetMemoryInfo", memory)
