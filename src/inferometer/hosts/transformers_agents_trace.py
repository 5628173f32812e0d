"""One Kineto trace of this process: every thread, and its GPU where there is one."""

from pathlib import Path

import torch
from torch._C._profiler import _ExperimentalConfig
from torch.profiler import ProfilerActivity, profile


class Tracer:
    """Records between `start` and `stop`. Both take time: neither belongs in a timed region."""

    def __init__(self, device: torch.device) -> None:
        activities = [ProfilerActivity.CPU]
        if device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        # without it torch records only the thread that started the profiler
        threads = _ExperimentalConfig(profile_all_threads=True)
        self._profiler = profile(activities=activities, experimental_config=threads)

    def start(self) -> None:
        """Record from now on."""
        self._profiler.start()

    def stop(self, path: Path | None) -> None:
        """Record no more, and write what was recorded; `None` forgets it.

        A name without `.gz` is five times as fast: torch compresses in Python.
        """
        self._profiler.stop()
        if path is not None:
            self._profiler.export_chrome_trace(str(path))
