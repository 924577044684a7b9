"""Memory of a key-value cache, which becomes real as it is written."""

import mmap

from homeport.domain.errors import LoadError

_MAP_NORESERVE = 0x4000
"""Of Linux' mman.h on x86 and Arm; the module has no name for it before Python 3.14."""


class CacheMemory:
    """One block of bytes, all zero.

    It is mapped anonymously, so pages nobody wrote read as zero and cost nothing, nor does the system set
    memory aside for them: caches may add up to more than the machine has. Huge pages are declined, because
    the first token of a slot would make 2 MiB of each head real.

    Args:
        size: In bytes.
        slots: Sequences with a place, for messages.
        length: Tokens per slot, for messages.

    Attributes:
        buffer: The bytes, for arrays and tensors that share them.

    Raises:
        LoadError: The system refuses that much memory.
    """

    def __init__(self, size: int, *, slots: int, length: int) -> None:
        try:
            self.buffer = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
        except (OSError, OverflowError) as error:
            raise LoadError(
                f"no memory for a key-value cache of {size} bytes "
                f"({slots} slots of {length} tokens): {error}",
                hint="Lower [models] slots or context_length",
            ) from error
        self.buffer.madvise(mmap.MADV_NOHUGEPAGE)

    def release(self, begin: int, end: int) -> None:
        """Give the whole pages between two places back to the system; they read as zero again.

        Args:
            begin: First byte that is no longer needed.
            end: The byte behind the last one.
        """
        first = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
        behind = end // mmap.PAGESIZE * mmap.PAGESIZE
        if first < behind:
            self.buffer.madvise(mmap.MADV_DONTNEED, first, behind - first)
