"""Room on the disk."""

from homeport.domain.errors import PullError

_GIGABYTE = 1e9


def check_room(needed: int, room: int) -> None:
    """Refuse to write what does not fit.

    Args:
        needed: Bytes about to be written.
        room: Bytes that may be.

    Raises:
        PullError: With both figures.
    """
    if needed > room:
        raise PullError(
            f"the converted model needs {needed / _GIGABYTE:.2f} GB of disk, "
            f"{max(room, 0) / _GIGABYTE:.2f} GB are left",
            hint="remove models with: homeport rm NAME, or choose another folder with HOMEPORT_HOME",
        )
