"""Tokens and log-probabilities as both dialects write them."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LEAST_LOGPROB = -9999.0
"""Stands for minus infinity, which JSON cannot write; OpenAI's figure."""


def token_bytes(token: str) -> list[int] | None:
    """Give the UTF-8 bytes of a token; None where it is part of a character."""
    return None if _REPLACEMENT in token else list(token.encode())


def writable(logprob: float) -> float:
    """Bound a log-probability from below."""
    return max(logprob, _LEAST_LOGPROB)
