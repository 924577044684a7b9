import pytest

from homeport.domain.errors import InvalidRequestError
from homeport.domain.quantisation import Quantisation


@pytest.mark.parametrize("text", ["auto", "int4", "int8", "bf16", "fp32"])
def test_each_is_read_by_its_name(text):
    """What users write is what the store writes."""
    assert Quantisation.parse(text) == text


@pytest.mark.parametrize("text", ["", "INT4", "q4_0", "int4 "])
def test_other_names_are_refused_with_the_choices(text):
    """The error has the value and all that is allowed."""
    with pytest.raises(InvalidRequestError, match="it can be auto, int4, int8, bf16, fp32") as caught:
        Quantisation.parse(text)
    assert repr(text) in caught.value.message
    assert caught.value.field == "quant"
