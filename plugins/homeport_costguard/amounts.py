"""What an attempt takes, in the four units that budgets count."""

from collections.abc import Iterator

import attrs

MILLISECONDS = 1000
UNITS = ("micro_usd", "tokens", "cpu_ms", "calls")
"""Fields of ``Amounts`` and ``Caps``, and ends of the names of the ledger's columns, in their order."""
MOST = 10**15
"""No single amount is larger: sums of thousands stay within the 64 bits of SQLite."""


def bounded(value: float) -> int:
    """Make a count of what a backend told: whole, not negative, not absurd, and no NaN."""
    return int(min(value, MOST)) if value > 0 else 0


@attrs.frozen(kw_only=True)
class Amounts:
    """Four amounts; whole numbers, so that sums are exact.

    Attributes:
        micro_usd: Money, in millionths of a US dollar.
        tokens: Of prompts and answers.
        cpu_ms: CPU time on this machine, in milliseconds.
        calls: Attempts.
    """

    micro_usd: int = 0
    tokens: int = 0
    cpu_ms: int = 0
    calls: int = 0

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            micro_usd=self.micro_usd + other.micro_usd,
            tokens=self.tokens + other.tokens,
            cpu_ms=self.cpu_ms + other.cpu_ms,
            calls=self.calls + other.calls,
        )

    def values(self) -> tuple[int, int, int, int]:
        """Give the four in the order of the ledger's columns."""
        return (self.micro_usd, self.tokens, self.cpu_ms, self.calls)

    def exceeds(self, other: "Amounts") -> bool:
        """Tell whether any of the four is above the other's."""
        return any(mine > theirs for mine, theirs in zip(self.values(), other.values(), strict=True))


@attrs.frozen(kw_only=True)
class Caps:
    """Bounds of the four amounts; None where there is none."""

    micro_usd: int | None = None
    tokens: int | None = None
    cpu_ms: int | None = None
    calls: int | None = None

    def pairs(self, amounts: Amounts) -> Iterator[tuple[str, int, int]]:
        """List each bound there is: its unit, the amount, the bound."""
        for unit in UNITS:
            cap = getattr(self, unit)
            if cap is not None:
                yield unit, getattr(amounts, unit), cap

    def exceeded_by(self, amounts: Amounts) -> tuple[str, int, int] | None:
        """Give the first bound that amounts are above: its unit, the amount, the bound."""
        return next((pair for pair in self.pairs(amounts) if pair[1] > pair[2]), None)

    def counts(self, amounts: Amounts) -> bool:
        """Tell whether any bound is on something that these amounts have."""
        return any(amount > 0 for _, amount, _ in self.pairs(amounts))

    def share_taken(self, amounts: Amounts) -> float:
        """Give the largest share of a bound that is taken; 1 or more where one is full."""
        shares = (amount / cap if cap else 1.0 for _, amount, cap in self.pairs(amounts))
        return max(shares, default=0.0)
