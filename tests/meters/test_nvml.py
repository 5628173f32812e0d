"""The GPU meter, against a stand-in for pynvml (see fake_nvml.py): no GPU is at hand here."""

import pynvml
import pytest
from meters.fake_nvml import FakeNvml

from inferometer.meters import nvml
from inferometer.meters.base import MeterAbsent, MeterLost
from inferometer.meters.nvml import GpuMeter
from inferometer.meters.sampler import sampling


def test_all_quantities_in_their_units(clock):
    meter = GpuMeter(module=FakeNvml())
    values = meter.read().values
    assert meter.name == "nvml:0"
    assert values.pop("energy_j") == pytest.approx(200 * clock.monotonic(), abs=200 * 0.02)
    assert values == {
        "power_w": 200.0,
        "sm_mhz": 1980,
        "memory_mhz": 2619,
        "temperature_c": 60,
        "utilisation_percent": 97,
        "fan_percent": None,
        "throttle_reasons": ["sw_power_cap"],
        "memory_used_bytes": 5 * 2**30,
        "memory_total_bytes": 141 * 2**30,
    }


def test_names_of_clock_events_are_those_of_nvml():
    prefix = "nvmlClocksThrottleReason"
    for bit, name in nvml.CLOCK_EVENTS.items():
        assert getattr(pynvml, prefix + name.title().replace("_", "")) == bit
    assert nvml.clock_events(0) == []
    assert nvml.clock_events(0x24) == ["sw_power_cap", "sw_thermal_slowdown"]
    assert nvml.clock_events(0x1200) == ["bit_0x200", "bit_0x1000"]


@pytest.mark.parametrize(
    ("celsius", "alerts"),
    [
        (84, ()),
        (85, ("temperature_85_c",)),
        (90, ("temperature_85_c", "temperature_90_c")),
        (None, ()),
    ],
)
def test_alerts(celsius, alerts):
    assert nvml.alerts(celsius) == alerts
    if celsius is not None:
        assert GpuMeter(module=FakeNvml(temperature_c=celsius)).read().reasons == alerts


def test_energy_by_the_counter(clock):
    with sampling([GpuMeter(module=FakeNvml())], 0.02) as timeline:
        start = clock.monotonic()
        clock.sleep(0.6)
        found = timeline.window(start, start + 0.6)
    assert found.reasons == ()
    assert found.source == "nvml:0 energy counter"
    assert found.mean_power_w == pytest.approx(200, rel=0.05)


def test_slow_counter_is_covered_at_both_edges_and_read_less_often(clock):
    module = FakeNvml(renewed_every_s=0.2)
    with sampling([GpuMeter(module=module)], 0.02) as timeline:
        start = clock.monotonic()
        clock.sleep(4.07)
        end = clock.monotonic()
    found = timeline.window(start, end)
    assert found.reasons == ()
    assert found.mean_power_w == pytest.approx(200, rel=0.01)
    assert timeline.periods_s["nvml:0"] == pytest.approx(0.1, rel=0.01)
    assert len(timeline.readings("nvml:0", start, end)) < 60  # and not 200
    assert module.started == 0


def test_power_where_there_is_no_counter(clock):
    module = FakeNvml()
    module.fail("nvmlDeviceGetTotalEnergyConsumption", pynvml.NVML_ERROR_NOT_SUPPORTED)
    meter = GpuMeter(module=module)
    assert meter.energy.source == "nvml:0 power"
    assert meter.read().values["energy_j"] is None
    with sampling([meter], 0.02) as timeline:
        start = clock.monotonic()
        clock.sleep(0.3)
        found = timeline.window(start, start + 0.3)
    # power may be a mean over a second
    assert found.reasons == ("window_too_short",)


def test_gpu_lost_in_mid_run(clock):
    module = FakeNvml()
    with sampling([GpuMeter(module=module)], 0.02) as timeline:
        early = clock.monotonic()
        clock.sleep(0.4)
        before = timeline.window(early, early + 0.3)
        module.lost = True
        clock.sleep(0.2)
        lost = timeline.window(early, clock.monotonic())
    assert before.mean_power_w == pytest.approx(200, rel=0.1)
    assert lost.energy_j is None
    assert lost.reasons[0] == "meter_lost"
    assert "GPU is lost" in timeline.losses["nvml:0"].reason
    readings = timeline.readings("nvml:0")
    assert len(readings) > 10
    assert readings[-1].reasons[0] == "meter_lost"
    assert timeline.window(early, early + 0.3) == before
    assert timeline.window(early, early + 0.01).reasons == ("window_too_short", "too_few_samples")
    assert module.started == 0


def test_gpu_that_refuses_everything_is_lost():
    module = FakeNvml()
    meter = GpuMeter(module=module)
    for name in dir(module):
        if name.startswith("nvmlDeviceGet"):
            module.fail(name, pynvml.NVML_ERROR_UNKNOWN)
    with pytest.raises(MeterLost, match="refuses every reading"):
        meter.read()


def test_absent_reasons(monkeypatch, tmp_path):
    monkeypatch.setattr(nvml, "DEVICE_NODES", (tmp_path / "nvidiactl",))
    with pytest.raises(MeterAbsent, match=r"^no NVIDIA driver$"):
        GpuMeter()
    module = FakeNvml()
    module.fail("nvmlInit", pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    with pytest.raises(MeterAbsent, match="no NVIDIA driver that answers"):
        GpuMeter(module=module)
    with pytest.raises(MeterAbsent, match="no GPU 3; 1 can be seen"):
        GpuMeter(3, module=FakeNvml())
    module = FakeNvml()
    module.fail("nvmlDeviceGetHandleByIndex", pynvml.NVML_ERROR_GPU_IS_LOST)
    with pytest.raises(MeterAbsent, match="GPU is lost"):
        GpuMeter(module=module)
    assert module.started == 0


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        ("2,0", [2, 0]),
        ("GPU-1", [1]),
        ("", []),
        ("0,-1,2", [0]),
        ("7", []),
        ("MIG-GPU-1/1/0", []),
    ],
)
def test_cuda_visible_devices(monkeypatch, named, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert nvml.visible(FakeNvml(count=3)) == seen


def test_volatile():
    module = FakeNvml(count=2)
    (first, second) = nvml.volatile(module)["gpus"]
    assert first == second
    assert first["throttle_reasons"] == ["sw_power_cap"]
    assert "energy_j" not in first
    module.fail("nvmlDeviceGetHandleByIndex", pynvml.NVML_ERROR_GPU_IS_LOST)
    assert nvml.volatile(module)["gpus"][0] == {"reason": "GPU is lost"}
    assert module.started == 0


def test_volatile_without_a_driver(monkeypatch, tmp_path):
    monkeypatch.setattr(nvml, "DEVICE_NODES", (tmp_path / "nvidiactl",))
    assert nvml.volatile() == {"gpus": None}
