from datetime import UTC, datetime

import pytest

from homeport import Candidate, GenerationRequest, ModelInfo, Standing, Terms, TextPrompt

_STANDING = {
    "in_flight",
    "waiting",
    "slots",
    "latency_seconds",
    "success_rate",
    "is_resident",
    "weight",
    "tier",
}


@pytest.fixture
def candidate():
    """Make candidates; figures of the standing and of the model may be mixed."""

    def make(backend="one", model="m:1b", *, group=0, **facts):
        own = _STANDING | {"served_before"}
        standing = Standing(**{name: value for name, value in facts.items() if name in own})
        info = {name: value for name, value in facts.items() if name not in own}
        described = ModelInfo(
            name=model,
            backend=backend,
            modified_at=datetime(2024, 1, 1, tzinfo=UTC),
            **({"digest": model} | info),
        )
        return Candidate(backend, described, standing, group=group)

    return make


@pytest.fixture
def ask():
    """Make requests."""

    def make(text="Hello!", model="auto", number=0, **terms):
        return GenerationRequest(
            id=f"r{number}",
            model=model,
            prompt=TextPrompt(text),
            terms=Terms(**({"seed": number} | terms)),
        )

    return make


@pytest.fixture
def names():
    """Shorten ranked candidates to the names of their backends."""
    return lambda ranked: [each.backend for each in ranked]
