"""Amounts of memory as people write them: ``2GiB``, ``512 MB``, ``25%`` or a number of bytes."""

import math
import re
from typing import Self

import attrs

_UNIT_BYTES = {"": 1, "B": 1} | {
    prefix.upper() + unit: base**power
    for power, prefix in enumerate("kmgt", start=1)
    for unit, base in (("B", 1000), ("IB", 1024), ("", 1024))
}
_FORM = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>%|[a-z]*)", re.ASCII | re.IGNORECASE)
_WHOLE_PERCENT = 100.0


@attrs.frozen(kw_only=True)
class MemoryAmount:
    """So many bytes, or a share of what there is.

    Attributes:
        size_bytes: Where it is no share.
        share: In (0, 1]; None where it is a number of bytes.
    """

    size_bytes: int = 0
    share: float | None = None

    @classmethod
    def parse(cls, value: str | int) -> Self:
        """Read an amount.

        Raises:
            ValueError: With what it must be and what it is.
        """
        found = _FORM.fullmatch(str(value).strip())
        unit = found["unit"].upper() if found else "?"
        number = float(found["number"]) if found else 0.0
        if unit == "%" and 0 < number <= _WHOLE_PERCENT:
            return cls(share=number / _WHOLE_PERCENT)
        size = number * _UNIT_BYTES.get(unit, 0)
        if 1 <= size < math.inf:
            return cls(size_bytes=int(size))
        raise ValueError(f'must be a share such as "25%" or an amount such as "2GiB" above 0, got {value!r}')

    def of(self, available_bytes: int) -> int:
        """Give it in bytes, where so many are available."""
        return self.size_bytes if self.share is None else int(self.share * max(available_bytes, 0))
