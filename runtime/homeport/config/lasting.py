"""What a process makes once and keeps, such as the modules that it imports."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting() -> Iterator[None]:
    """Look for no garbage while the block makes what stays, and never among it afterwards.

    Importing the host takes 0.35 s so, and 0.41 s with Python's collector.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
