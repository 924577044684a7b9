"""How exactly the weights of a model are kept."""

from enum import StrEnum
from typing import Self

import attrs

from homeport.domain.errors import InvalidRequestError


class Quantisation(StrEnum):
    """What a pull makes of the weights of a decoder."""

    AUTO = "auto"
    """Chosen by the size of the model; weights that come quantised keep their bits."""
    INT4 = "int4"
    """4 bits and a scale per group; embeddings and output matrix 8 bits."""
    INT8 = "int8"
    """8 bits and a scale per group."""
    BF16 = "bf16"
    """bfloat16."""
    FP32 = "fp32"
    """float32."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one as a user writes it.

        Raises:
            InvalidRequestError: There is none of this name.
        """
        try:
            return cls(text)
        except ValueError:
            raise InvalidRequestError(
                f"quant is {text!r:.40}, it can be {', '.join(cls)}", field="quant"
            ) from None


@attrs.frozen
class WeightsWish:
    """What somebody wants of a model's weights.

    Attributes:
        quantisation: Which.
        is_demanded: Whether they asked for it by name, so that what cannot be done is an error.
    """

    quantisation: Quantisation = Quantisation.AUTO
    is_demanded: bool = False
