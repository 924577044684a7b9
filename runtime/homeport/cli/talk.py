"""The state of a talk with a model."""

import attrs

from homeport.cli.answer_output import Look
from homeport.cli.asking import ChatMessage, Manner
from homeport.cli.client import Client
from homeport.cli.line_history import LineHistory


@attrs.define(kw_only=True)
class Talk:
    """The state of a talk.

    Attributes:
        client: Server that is talked to.
        manner: How the model is asked.
        history: What was typed before.
        look: How answers are shown.
        verbose: Whether timings follow each answer.
        messages: What was said.
        awaits_build: Whether the model is built before its first answer.
    """

    client: Client
    manner: Manner
    history: LineHistory
    look: Look = attrs.field(factory=Look)
    verbose: bool = False
    messages: list[ChatMessage] = attrs.field(factory=list)
    awaits_build: bool = False
