"""What the host and its workers take of the machine."""

from collections.abc import Iterator, Mapping
from contextlib import suppress

import attrs
import psutil

from homeport.worker.memory import available_bytes, pressure_percent, total_bytes


@attrs.frozen(kw_only=True)
class ProcessUse:
    """One process.

    Attributes:
        pid: Of it.
        model: That it computes; empty for the host.
        resident_bytes: Memory it holds, mapped files among it.
        cpu_seconds: Computed so far, in all its threads.
        threads: It has now.
    """

    pid: int
    model: str = ""
    resident_bytes: int
    cpu_seconds: float
    threads: int


@attrs.frozen(kw_only=True)
class MachineUse:
    """What there is, and who takes it.

    Attributes:
        host: This process.
        workers: Those of models, none that has just ended.
        total_bytes: Memory of the machine or its control group; None where the system does not tell.
        available_bytes: What of it is free; likewise.
        pressure_percent: Share of the last 10 s in which some task waited for memory; 0 where it is not told.
    """

    host: ProcessUse
    workers: tuple[ProcessUse, ...]
    total_bytes: int | None
    available_bytes: int | None
    pressure_percent: float


def machine_use(workers: Mapping[int, str]) -> MachineUse:
    """Look at the system once: about 0.3 ms, and as much again for each worker; reads files.

    Args:
        workers: Model of each worker by process id.
    """
    memory: tuple[int | None, int | None] = (None, None)
    with suppress(OSError):
        memory = total_bytes(), available_bytes()
    return MachineUse(
        host=_use(psutil.Process(), ""),
        workers=tuple(_uses(workers)),
        total_bytes=memory[0],
        available_bytes=memory[1],
        pressure_percent=pressure_percent(),
    )


def _uses(workers: Mapping[int, str]) -> Iterator[ProcessUse]:
    for pid, model in workers.items():
        try:
            yield _use(psutil.Process(pid), model)
        except psutil.Error:
            continue  # it has just ended


def _use(process: psutil.Process, model: str) -> ProcessUse:
    with process.oneshot():
        times = process.cpu_times()
        return ProcessUse(
            pid=process.pid,
            model=model,
            resident_bytes=int(process.memory_info().rss),
            cpu_seconds=float(times.user + times.system),
            threads=int(process.num_threads()),
        )
