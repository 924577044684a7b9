"""``POST /api/create``: makes a model from another one, or from uploaded files."""

from collections.abc import Mapping
from contextlib import aclosing

from aiohttp import web

from homeport.domain.errors import InvalidRequestError, UnsupportedError
from homeport.domain.messages import Message, Role
from homeport.models.blobs import parse_digest
from homeport.models.creation import Creation
from homeport.models.definition import Definition
from homeport.models.names import ModelName
from homeport.models.quantisation_names import NamedQuantisation
from homeport.models.records import Value
from homeport.server.bodies import read_body
from homeport.server.ollama.progress import answer_progress
from homeport.server.option_fields import read_options
from homeport.server.quoting import quoted, shown
from homeport.server.refusals import is_given
from homeport.server.schemas import ollama as schema
from homeport.server.state import RUNTIME

_NOT_BUILT = ("adapters", "draft_files", "renderer", "parser", "remote_host")
_SPEAKERS = (Role.SYSTEM, Role.USER, Role.ASSISTANT)


class NotBuiltError(UnsupportedError):
    """Something that Ollama does and homeport does not."""

    code = "not_supported"
    status = 501


async def create(request: web.Request) -> web.StreamResponse:
    """Make a model, a line for each step."""
    body = await read_body(request, schema.CreateRequest)
    creating = await request.app[RUNTIME].create(_creation(body))
    # The last listener to leave a creation cancels it.
    async with aclosing(creating) as progress:
        return await answer_progress(request, progress, streams=body.stream is not False)


def _creation(body: schema.CreateRequest) -> Creation:
    name = ModelName.parse(body.model or body.name or "")
    for field in _NOT_BUILT:
        if is_given(getattr(body, field)):
            raise NotBuiltError(f"{field} is not supported", field=field)
    quantisation = body.quantize or body.quantization
    files = None if body.base or body.files is None else body.files
    return Creation(
        name=name,
        base=body.base or "",
        files=None if files is None else {path: parse_digest(digest) for path, digest in files.items()},
        definition=_definition(body),
        quantisation=NamedQuantisation.parse(quantisation) if quantisation else None,
    )


def _definition(body: schema.CreateRequest) -> Definition:
    licenses = [body.license or ""] if not isinstance(body.license, list) else body.license
    return Definition(
        system=body.system or "",
        template=body.template or "",
        messages=tuple(_message(index, sent) for index, sent in enumerate(body.messages or ())),
        parameters=_parameters(body.parameters or {}),
        license="\n".join(filter(None, licenses)),
        requires=body.requires or "",
    )


def _parameters(given: Mapping[str, object]) -> dict[str, Value]:
    read_options(given)
    return {name: _value(name, value) for name, value in given.items() if value is not None}


def _value(name: str, value: object) -> Value:
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list) and all(isinstance(each, str | int | float | bool) for each in value):
        return tuple(value)
    field = f"parameters.{name}"
    message = f"{field} is {shown(value)}, expected a text, a number, a boolean or a list of these"
    raise InvalidRequestError(message, field=field)


def _message(index: int, sent: schema.MadeMessage) -> Message:
    role = (sent.role or "").lower()
    if role not in _SPEAKERS:
        message = (
            f'message role must be one of "system", "user", or "assistant", got {quoted(sent.role or "")}'
        )
        raise InvalidRequestError(message, field=f"messages[{index}].role")
    return Message(Role(role), sent.content or "")
