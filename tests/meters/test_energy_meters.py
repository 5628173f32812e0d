"""What sessions use: meters of one device, opened anew for each window (stand-ins for both)."""

import pytest
from meters.fake_nvml import FakeNvml

from inferometer.meters import inventory, nvml, rapl
from inferometer.meters.inventory import EnergyMeters


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A machine with a GPU and without RAPL counters."""
    module = FakeNvml()
    start = nvml.start
    monkeypatch.setattr(nvml, "start", lambda given=None: start(module))
    find = rapl.find
    monkeypatch.setattr(inventory.rapl, "find", lambda folder: find(tmp_path))
    return module


def test_each_sampling_opens_and_closes_the_meter(gpu, clock):
    meters = EnergyMeters("gpu")
    assert meters.present
    assert meters.why_not is None
    for _ in range(2):
        with meters.sampling() as timeline:
            start = clock.monotonic()
            clock.sleep(0.7)
            end = clock.monotonic()
        found = timeline.window(start, end)
        assert found.reasons == ()
        assert found.mean_power_w == pytest.approx(200, rel=0.05)
        assert gpu.started == 0


def test_the_gpu_does_not_answer_for_the_processor(gpu, clock):
    meters = EnergyMeters("cpu")
    assert not meters.present
    assert meters.why_not.startswith("energy not measurable here: no RAPL counters")
    with meters.sampling() as timeline:
        start = clock.monotonic()
    assert timeline.window(start, start + 1).reasons == ("no_meter",)
    assert gpu.started == 0


def test_a_gpu_that_went_away_between_two_windows(gpu, clock):
    meters = EnergyMeters("gpu")
    gpu.lost = True
    with meters.sampling() as timeline:
        start = clock.monotonic()
    assert timeline.window(start, start + 1).reasons == ("no_meter",)
    assert "GPU is lost" in meters.why_not
