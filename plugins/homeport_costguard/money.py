"""Money as whole millionths of a US dollar, so that sums are exact."""

from decimal import ROUND_HALF_UP, Decimal

MICRO_PER_USD = 1_000_000
TOKENS_PER_PRICE = 1_000_000
"""Prices are told per million tokens, so a price in USD is a price in micro-USD per token."""


def micro_usd(usd: float) -> int:
    """Turn an amount as people write it into whole micro-USD, 0.15 into 150,000."""
    return int((Decimal(str(usd)) * MICRO_PER_USD).to_integral_value(ROUND_HALF_UP))


def token_cost(parts: tuple[tuple[int, int], ...]) -> int:
    """Price tokens, rounded up once to a whole micro-USD.

    Args:
        parts: Pairs of tokens and micro-USD per million of them.
    """
    total = sum(tokens * price for tokens, price in parts)
    return -(-total // TOKENS_PER_PRICE)


def usd_text(micro: int) -> str:
    """Write an amount with all its digits: ``0.001234``."""
    sign = "-" if micro < 0 else ""
    whole, part = divmod(abs(micro), MICRO_PER_USD)
    return f"{sign}{whole}.{part:06d}"
