"""Ollama's names of quantisations, and the forms that weights have here in their place."""

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from homeport.domain.errors import InvalidRequestError
from homeport.domain.quantisation import Quantisation, WeightsWish

_FORMS: Mapping[str, Quantisation] = MappingProxyType(
    {
        "q4_0": Quantisation.INT4,
        "q4_1": Quantisation.INT4,
        "q4_k": Quantisation.INT4,
        "q4_k_s": Quantisation.INT4,
        "q4_k_m": Quantisation.INT4,
        "int4": Quantisation.INT4,
        "q8_0": Quantisation.INT8,
        "int8": Quantisation.INT8,
        "f16": Quantisation.BF16,
        "fp16": Quantisation.BF16,
        "bf16": Quantisation.BF16,
        "f32": Quantisation.FP32,
        "fp32": Quantisation.FP32,
    }
)


@attrs.frozen
class NamedQuantisation:
    """A quantisation as somebody named it.

    Attributes:
        name: Upper-cased, as Ollama shows it, but for its ``_K``.
        wish: What it is here.
    """

    name: str
    wish: WeightsWish

    @classmethod
    def parse(cls, text: str) -> "NamedQuantisation":
        """Read a name in any case.

        Raises:
            InvalidRequestError: There is none of this name.
        """
        form = _FORMS.get(text.strip().lower())
        if form is None:
            message = f"unknown type {text!r:.40}: quantize can be {', '.join(_FORMS)}"
            raise InvalidRequestError(message, field="quantize")
        return cls(text.strip().upper(), WeightsWish(form, is_demanded=True))

    @property
    def label(self) -> str:
        """Both names, where they differ."""
        form = self.wish.quantisation.value
        return self.name if self.name.lower() == form else f"{self.name} (kept as {form})"
