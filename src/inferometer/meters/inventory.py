"""Which meters this machine offers, and why the others are absent."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferometer.meters import rapl
from inferometer.meters.base import Device, Meter, MeterAbsent
from inferometer.meters.memory import ProcessMeter
from inferometer.meters.nvml import GpuMeter
from inferometer.meters.sampler import Timeline, sampling


@dataclass(frozen=True)
class Inventory:
    """The meters that can be read here, and the reasons, by kind, why others cannot."""

    meters: tuple[Meter, ...]
    absent: dict[str, str]

    def energy_note(self, device: Device | None = None) -> str | None:
        """Why energy is not measurable here, for reports; `None` when it is.

        Parameters
        ----------
        device
            Of which energy is wanted, `gpu` or `cpu`; by default of either.
        """
        channels = [meter.energy for meter in self.meters if meter.energy]
        if any(device in (None, channel.device) for channel in channels):
            return None
        kinds = {"gpu": ["nvml"], "cpu": ["rapl"], None: ["nvml", "rapl"]}[device]
        reasons = [self.absent[kind] for kind in kinds if kind in self.absent]
        return f"energy not measurable here: {'; '.join(reasons)}"


def available(
    gpu: int = 0,
    pids: Iterable[int] = (),
    *,
    nvml: Any = None,
    powercap: Path = rapl.POWERCAP,
) -> Inventory:
    """Open the meters of this machine: one GPU, the processor's energy, memory of processes.

    The meters are closed by the `sampling` that reads them.

    Parameters
    ----------
    gpu
        Position among the GPUs that CUDA programs see: 0 is the `cuda:0` of a worker.
    pids
        Processes whose memory is wanted.
    nvml, powercap
        pynvml and the kernel's folder, unless a test brings its own.
    """
    meters: list[Meter] = []
    absent: dict[str, str] = {}
    try:
        found = GpuMeter(gpu, nvml)
        meters.append(found)
        if found.energy is None:
            absent["nvml"] = f"GPU {gpu} tells neither energy nor power"
    except MeterAbsent as error:
        absent["nvml"] = str(error)
    zones, reasons = rapl.find(powercap)
    meters += zones
    if reasons:
        absent["rapl"] = "; ".join(reasons)
    for pid in pids:
        try:
            meters.append(ProcessMeter(pid))
        except MeterAbsent as error:
            absent[f"memory:{pid}"] = str(error)
    return Inventory(tuple(meters), absent)


@dataclass(frozen=True)
class EnergyMeters:
    """The energy meters of the device that a SUT runs on; opened anew for each sampling.

    `gpu` is a position as for `available`; it means nothing for the processor.
    """

    device: Device
    gpu: int = 0

    @property
    def why_not(self) -> str | None:
        """Why energy is not measurable here; `None` when it is."""
        found = available(self.gpu)
        for meter in found.meters:
            meter.close()
        return found.energy_note(self.device)

    @property
    def present(self) -> bool:
        """Whether energy is measurable here."""
        return self.why_not is None

    def sampling(self) -> AbstractContextManager[Timeline]:
        """Sample the meters of the device while the context lasts."""
        found = available(self.gpu).meters
        wanted = [m for m in found if m.energy is not None and m.energy.device == self.device]
        for meter in found:
            if meter not in wanted:
                meter.close()
        return sampling(wanted)
