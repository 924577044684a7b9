"""What a model says before every conversation, put before that of a request."""

import itertools

import attrs

from homeport.domain.generation import ChatPrompt, GenerationRequest
from homeport.domain.messages import Message, Role
from homeport.models.manifest import Manifest


def framed(request: GenerationRequest, manifest: Manifest) -> GenerationRequest:
    """Put a model's system text and messages before those of a request.

    The system text gives way to a system message that the request begins with. Messages stand behind the
    system ones, which most templates want first, and are left out where the request goes on from an earlier
    exchange, which has them already. Prompts that are no conversation stay as they are.
    """
    prompt = request.prompt
    if not isinstance(prompt, ChatPrompt) or not (manifest.system or manifest.messages):
        return request
    own = tuple(itertools.takewhile(_is_system, prompt.messages))
    told = own or ((Message(Role.SYSTEM, manifest.system),) if manifest.system else ())
    earlier = () if prompt.context else manifest.messages
    messages = (*told, *earlier, *prompt.messages[len(own) :])
    return attrs.evolve(request, prompt=attrs.evolve(prompt, messages=messages))


def _is_system(message: Message) -> bool:
    return message.role is Role.SYSTEM
