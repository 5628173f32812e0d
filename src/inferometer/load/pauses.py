"""Keep the garbage collector from pausing the client inside timed regions."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Collect once, then leave everything that exists out of collections until the end.

    Collections of what the timed region itself allocates go on; they are short, and the
    memory of a long cell stays bounded.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
