"""RAPL, against a folder shaped like /sys/class/powercap: there are no counters here."""

import threading

import pytest

from inferometer.meters import rapl
from inferometer.meters.base import MeterLost
from inferometer.meters.inventory import available
from inferometer.meters.sampler import sampling

WRAP_UJ = 20_000_000


@pytest.fixture
def powercap(tmp_path):
    """Two packages, one with core and DRAM, and what must not be counted beside them."""
    names = {
        "intel-rapl": None,
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
    }
    for folder, name in names.items():
        (tmp_path / folder).mkdir()
        if name:
            (tmp_path / folder / "name").write_text(name + "\n")
            (tmp_path / folder / "energy_uj").write_text("1000\n")
            (tmp_path / folder / "max_energy_range_uj").write_text(f"{WRAP_UJ}\n")
    return tmp_path


def test_packages_and_dram_are_counted_once(powercap):
    meters, reasons = rapl.find(powercap)
    assert [meter.name for meter in meters] == ["rapl:package-0", "rapl:dram-0", "rapl:package-1"]
    assert reasons == []
    assert meters[0].energy.wrap_j == 20.0
    assert meters[0].read().values == {"energy_j": 0.001}


def test_energy_of_all_counters_over_a_wrap_around(powercap, clock):
    counters = {"intel-rapl:0": 30.0, "intel-rapl:0:1": 5.0, "intel-rapl:1": 25.0}
    origin = clock.monotonic()
    done = threading.Event()

    def count():
        while not done.is_set():
            clock.sleep(0.002)
            for zone, watts in counters.items():
                energy_uj = int((19.9 + watts * (clock.monotonic() - origin)) * 1e6) % WRAP_UJ
                # the kernel never shows half a number; neither must the stand-in
                (powercap / "new").write_text(f"{energy_uj}\n")
                (powercap / "new").replace(powercap / zone / "energy_uj")

    writer = threading.Thread(target=count, daemon=True)
    writer.start()
    clock.sleep(0.02)
    with sampling(rapl.find(powercap)[0], 0.02) as timeline:
        start = clock.monotonic()
        clock.sleep(1)
        found = timeline.window(start, start + 1)
    done.set()
    clock.sleep(0.01)  # which lets the writer see it
    writer.join()
    assert found.reasons == ()
    assert found.mean_power_w == pytest.approx(60, rel=0.05)
    assert found.source.count("energy counter") == 3


def test_absent(tmp_path):
    assert rapl.find(tmp_path) == ([], [f"no RAPL counters under {tmp_path}"])
    assert rapl.find(tmp_path / "none")[0] == []


def test_no_permission(powercap, monkeypatch):
    # root reads everything, so that the refusal itself has to be staged
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    read = rapl.Path.read_text
    monkeypatch.setattr(
        rapl.Path, "read_text", lambda p: refuse(p) if p.name == "energy_uj" else read(p)
    )
    meters, reasons = rapl.find(powercap)
    assert meters == []
    assert len(reasons) == 1
    assert "administrator only" in reasons[0]


def test_counter_that_vanishes(powercap):
    meters, _ = rapl.find(powercap)
    (powercap / "intel-rapl:0" / "energy_uj").unlink()
    with pytest.raises(MeterLost, match="cannot be read"):
        meters[0].read()


def test_inventory_says_why_energy_is_not_measurable(tmp_path, powercap, monkeypatch):
    monkeypatch.setattr("inferometer.meters.nvml.DEVICE_NODES", ())
    found = available(powercap=tmp_path / "none")
    assert found.meters == ()
    assert found.energy_note() == (
        f"energy not measurable here: no NVIDIA driver; no RAPL counters under {tmp_path / 'none'}"
    )
    found = available(powercap=powercap)
    assert found.energy_note() is None
    assert found.energy_note("cpu") is None
    assert found.energy_note("gpu") == "energy not measurable here: no NVIDIA driver"
