"""Keep the garbage collector from pausing the client inside timed regions."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_depth = 0


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Collect once, then leave everything that exists out of collections until the end.

    Collections of what the timed region itself allocates go on: they are short, and the memory
    of a long cell stays bounded. Nested use costs nothing; the outermost decides.
    """
    global _depth
    if _depth == 0:
        gc.collect()
        gc.freeze()
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if _depth == 0:
            gc.unfreeze()
