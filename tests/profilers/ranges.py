"""A program with NVTX ranges, to be profiled: warm-up, then a steady part, then a rest."""

import os
import tempfile
import time

import nvtx


def serve(request: int) -> None:
    with nvtx.annotate(f"request/{request}", domain="inferometer"):
        with nvtx.annotate("phase/prefill", domain="inferometer"):
            time.sleep(0.004)
        with nvtx.annotate("phase/decode", domain="inferometer"), tempfile.TemporaryFile() as file:
            for _ in range(3):
                file.write(os.urandom(100_000))
                file.flush()
                os.fsync(file.fileno())


for request in range(2):
    serve(request)
with nvtx.annotate("steady", domain="inferometer"):
    for request in range(10, 13):
        serve(request)
serve(20)
