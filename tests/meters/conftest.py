import threading
from types import SimpleNamespace

import pytest
from meters import fake_nvml
from meters.stand_in_clock import Clock

from inferometer.meters import nvml, rapl, sampler


@pytest.fixture
def clock(monkeypatch):
    """Energy meters and their sampler on a stand-in clock."""
    made = Clock()
    for module in (fake_nvml, nvml, rapl, sampler):
        monkeypatch.setattr(module, "time", made)
    threads = SimpleNamespace(Thread=threading.Thread, Condition=lambda: made)
    monkeypatch.setattr(sampler, "threading", threads)
    return made
