"""What the device can do at best, measured: bytes read, bytes copied, multiply-adds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers_clock import CudaClock, HostClock

GEMM_ROWS = {"cpu": 2048, "cuda": 8192}
"""Rows of the square matrices: large enough that arithmetic, not memory, is the limit."""


@dataclass(frozen=True)
class Prober:
    """How to probe: on which device, how often; the first `warm_s` seconds are not reported."""

    device: torch.device
    clock: HostClock | CudaClock
    repetitions: int
    warm_s: float = 0.2

    @torch.inference_mode()
    def bandwidths(self, size_bytes: int) -> list[dict[str, Any]]:
        """Reading an array (its sum), and copying it: bytes read and written."""
        source = torch.ones(max(1, size_bytes // 4), dtype=torch.float32, device=self.device)
        target = torch.empty_like(source)
        size = source.nbytes
        copy = partial(target.copy_, source)
        return [
            *self._timed("read_bandwidth", source.sum, size, size),
            *self._timed("copy_bandwidth", copy, 2 * size, size),
        ]

    @torch.inference_mode()
    def product(self, dtype: torch.dtype) -> list[dict[str, Any]]:
        """A product of square matrices: two operations for each multiply-add."""
        rows = GEMM_ROWS[self.device.type]
        factor = torch.ones(rows, rows, dtype=dtype, device=self.device)
        multiply = partial(torch.mm, factor, factor, out=torch.empty_like(factor))
        return self._timed("gemm_flops", multiply, 2 * rows**3, 2 * factor.nbytes)

    def _timed(
        self, quantity: str, work: Callable[[], Any], amount: float, size_bytes: int
    ) -> list[dict[str, Any]]:
        warm_until = time.monotonic() + self.warm_s
        self._passes(work, 1)
        while time.monotonic() < warm_until:
            self._passes(work, 1)
        return [
            {
                "quantity": quantity,
                "value": amount / wall_s,
                "wall_s": wall_s,
                "size_bytes": size_bytes,
                "repetition": repetition,
            }
            for repetition, wall_s in enumerate(self._passes(work, self.repetitions))
        ]

    def _passes(self, work: Callable[[], Any], count: int) -> list[float]:
        self.clock.start()
        for _ in range(count):
            work()
            self.clock.mark()
        return self.clock.stop()[1]
