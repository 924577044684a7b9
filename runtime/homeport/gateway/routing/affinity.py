"""Who served a conversation last: its beginning is likely to be in that backend's prefix cache."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator

from homeport.domain.generation import ChatPrompt, FillPrompt, GenerationRequest, TextPrompt
from homeport.domain.messages import Role
from homeport.gateway.target import TargetKey
from homeport.plugin.protocols import Request

MOST_CONVERSATIONS = 4096
"""Conversations that are remembered; the one not seen for longest goes first."""
BEGINNING_CHARACTERS = 512
"""What two conversations must have in common to count as one."""
_DIGEST_BYTES = 16


class Affinity:
    """Remembers the target of each conversation, apart for each owner."""

    def __init__(self) -> None:
        self._targets: OrderedDict[bytes, TargetKey] = OrderedDict()

    def target(self, request: Request) -> TargetKey | None:
        """Tell who served the conversation of a request last; None where nobody did."""
        conversation = _conversation(request)
        return None if conversation is None else self._targets.get(conversation)

    def note(self, request: Request, key: TargetKey) -> None:
        """Take note of who served a request."""
        conversation = _conversation(request)
        if conversation is None:
            return
        self._targets[conversation] = key
        self._targets.move_to_end(conversation)
        if len(self._targets) > MOST_CONVERSATIONS:
            self._targets.popitem(last=False)


def _conversation(request: Request) -> bytes | None:
    """Name the conversation of a request: by its session, else by how it begins."""
    if request.terms.session:
        beginning = f"session\0{request.terms.session}"
    elif isinstance(request, GenerationRequest):
        beginning = "".join(_beginning(request))[:BEGINNING_CHARACTERS]
    else:
        return None
    text = f"{request.owner}\0{request.model.lower()}\0{beginning}"
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=_DIGEST_BYTES).digest()


def _beginning(request: GenerationRequest) -> Iterator[str]:
    """Give what stays the same over all turns: what the system says, and the first turn behind it."""
    match request.prompt:
        case ChatPrompt(messages=messages):
            for message in messages:
                yield f"{message.role}\0{message.content[:BEGINNING_CHARACTERS]}\0"
                if message.role is not Role.SYSTEM:
                    return
        case TextPrompt(text=text):
            yield text[:BEGINNING_CHARACTERS]
        case FillPrompt(prefix=prefix):
            yield prefix[:BEGINNING_CHARACTERS]
        case prompt:
            yield " ".join(map(str, prompt.tokens[:BEGINNING_CHARACTERS]))
