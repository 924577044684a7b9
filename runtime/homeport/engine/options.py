"""How the engine of one model works, apart from what its backend must know."""

import attrs


@attrs.frozen(kw_only=True)
class EngineOptions:
    """The settings of an engine.

    Attributes:
        most_running: Sequences that run at once; 0 is as many as there are slots. Slots beyond it remember
            sequences that ended.
        most_stall_seconds: How long a step may take in which sequences generate and prompts are computed.
        remembers: Whether the cache keeps sequences that ended, for prompts that begin alike.
        speculates: Whether tokens are guessed from the text so far, where that is faster.
        fits_one_window: Whether the cache may exceed its bound for one sequence of a whole window.
    """

    most_running: int = 0
    most_stall_seconds: float = 0.25
    remembers: bool = True
    speculates: bool = True
    fits_one_window: bool = False
