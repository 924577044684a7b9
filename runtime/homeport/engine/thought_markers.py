"""How models mark what they think before they answer."""

import attrs


@attrs.frozen
class ThoughtMarkers:
    """The texts around a thought."""

    begin: str
    end: str


KNOWN_MARKERS = (ThoughtMarkers("<think>", "</think>"), ThoughtMarkers("[THINK]", "[/THINK]"))
"""Qwen3, DeepSeek R1, SmolLM3 and most others; Magistral."""


def markers_of(template: str) -> ThoughtMarkers | None:
    """Find the markers that a chat template speaks of; None where its model has no thoughts of its own.

    A template that knows ``enable_thinking`` and writes no marker leaves all of them to its model, which
    then uses the common ones.
    """
    for markers in KNOWN_MARKERS:
        if markers.begin in template or markers.end in template:
            return markers
    return KNOWN_MARKERS[0] if "enable_thinking" in template else None
