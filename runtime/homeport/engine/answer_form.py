"""What an answer may hold beside text, and how it is told."""

import attrs

from homeport.domain.tools import ToolOffer
from homeport.engine.thought_markers import ThoughtMarkers
from homeport.engine.tool_formats import ToolFormat


@attrs.frozen(kw_only=True)
class AnswerForm:
    """How the answer to one prompt is to be read.

    Attributes:
        offer: Tools that it may call; None is none.
        tool_format: How its model writes calls; None where there is no offer.
        thoughts: What marks thoughts; None where its model has none, or they are to be left in the text.
        is_opened: Whether the prompt ends inside a thought.
        is_begun: Whether some of its text was there before.
        end_tokens: Ids that end it beside those of the model.
    """

    offer: ToolOffer | None = None
    tool_format: ToolFormat | None = None
    thoughts: ThoughtMarkers | None = None
    is_opened: bool = False
    is_begun: bool = False
    end_tokens: frozenset[int] = frozenset()

    @property
    def marks(self) -> frozenset[str]:
        """Texts that have to reach the reader even where they are special tokens."""
        calls = () if self.tool_format is None else self.tool_format.marks
        around = () if self.thoughts is None else (self.thoughts.begin, self.thoughts.end)
        return frozenset((*calls, *around))


PLAIN_TEXT = AnswerForm()
"""An answer that is text and nothing else."""
