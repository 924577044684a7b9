"""Settings say what they are and refuse what they do not know."""

import attrs
import pytest

from homeport import ConfigError
from homeport_onnx.config import OnnxConfig


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("weights", "int2", "one of auto, int4, int8, fp32"),
        ("group", 16, "one of 0, 32, 64, 128"),
        ("activations", "bf16", "one of auto, int8, int16, fp32"),
        ("spin_microseconds", -1, "0 to 1000000"),
        ("spin_microseconds", 1_000_001, "0 to 1000000"),
    ],
)
def test_what_a_setting_does_not_know_is_refused_with_what_it_does(name, value, allowed):
    with pytest.raises(ConfigError, match=f"{name}: must be {allowed}, got {value!r}"):
        OnnxConfig(**{name: value})


def test_each_setting_has_a_summary_and_all_but_spinning_decide_over_builds():
    fields = {field.name: field.metadata for field in attrs.fields(OnnxConfig)}
    assert all(metadata["summary"] for metadata in fields.values())
    assert [name for name, metadata in fields.items() if not metadata["builds"]] == ["spin_microseconds"]
