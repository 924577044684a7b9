"""Finding the model that a request names, with the words of the route for not finding it."""

from aiohttp import web

from homeport.domain.errors import InvalidRequestError, ModelNotFoundError, UnsupportedError
from homeport.domain.models import Capability, ModelInfo
from homeport.server.state import RUNTIME

NOT_PULLED = 'model "{}" not found, try pulling it first'
"""How the embedding routes put it."""


def required(name: str | None) -> str:
    """Pass a model name on.

    Raises:
        InvalidRequestError: It is missing or empty.
    """
    if not name:
        raise InvalidRequestError("model is required", field="model")
    return name


async def find_model(
    request: web.Request,
    name: str,
    *,
    missing: str | None = None,
    wanted: Capability = Capability.COMPLETION,
) -> ModelInfo:
    """Look up what a name stands for: a model, or the first of those that a tier or a route stands for.

    Args:
        request: Being answered.
        name: As the client sent it.
        missing: Text for an unknown model, with ``{}`` for the name; None takes the usual one.
        wanted: What it is needed for, where the name leaves a choice.

    Raises:
        ModelNotFoundError: No model, tier or route bears the name.
        InvalidRequestError: It is no model name.
    """
    if not name:
        raise ModelNotFoundError(name)
    try:
        return await request.app[RUNTIME].gateway.planner.describe(name, wanted)
    except ModelNotFoundError as error:
        raise reworded(error, name, missing) from None


def reworded(error: ModelNotFoundError, name: str, missing: str | None = None) -> ModelNotFoundError:
    """Say in other words that a model is unknown, keeping the suggestions and the hint."""
    fresh = ModelNotFoundError(name, suggestions=error.suggestions, hint=error.hint)
    if missing is not None:
        fresh.message = missing.format(name)
    return fresh


def require_generation(model: ModelInfo, name: str, verb: str) -> None:
    """Check that a model writes text.

    Raises:
        UnsupportedError: It only embeds; ``verb`` is what was asked for.
    """
    if Capability.COMPLETION not in model.capabilities:
        raise UnsupportedError(f'"{name}" does not support {verb}', field="model")
