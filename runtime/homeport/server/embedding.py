"""What the embedding routes of both dialects share."""

from aiohttp import web

from homeport.domain.embedding import EmbeddingRequest
from homeport.domain.errors import ContextOverflowError, InvalidRequestError
from homeport.gateway.reply import EmbeddingReply
from homeport.server.state import RUNTIME


class InputTooLongError(InvalidRequestError):
    """An input longer than the window of the model, which must not be cut."""

    code = ContextOverflowError.code


async def embed(request: web.Request, wanted: EmbeddingRequest) -> EmbeddingReply:
    """Embed texts.

    Raises:
        InputTooLongError: One is too long.
        HomeportError: Whatever else went wrong.
    """
    try:
        return await request.app[RUNTIME].gateway.embed(wanted)
    except ContextOverflowError:
        raise InputTooLongError("the input length exceeds the context length", field="input") from None
