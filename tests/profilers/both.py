"""A torch program whose phases are ranges of NVTX and of torch.profiler, to be read by both.

Its argument is the file of the Kineto trace.
"""

import sys
import time

import nvtx
import torch
from torch.profiler import ProfilerActivity, profile, record_function

SLEEP_S = 0.04  # long against what a busy machine takes between two products
MATRIX = torch.ones(400, 400)


def phase(name: str, products: int) -> None:
    with nvtx.annotate(f"phase/{name}", domain="inferometer"), record_function(f"phase/{name}"):
        for _ in range(products):
            torch.mm(MATRIX, MATRIX)
        time.sleep(SLEEP_S)


def serve() -> None:
    phase("prefill", 6)
    for _ in range(3):
        phase("decode", 2)


torch.set_num_threads(1)
serve()
with profile(activities=[ProfilerActivity.CPU]) as profiler:
    serve()
    with nvtx.annotate("steady", domain="inferometer"), record_function("steady"):
        for _ in range(2):
            serve()
profiler.export_chrome_trace(sys.argv[1])
