"""What the backend tells the doctor; the library's absence is tested with the wheel that lacks it."""

import pytest

from homeport_transformers.config import TransformersConfig
from homeport_transformers.native_check import findings
from homeport_transformers.native_library import Isa, best_isa


@pytest.fixture
def best():
    """The best instruction set here."""
    isa = best_isa()
    if isa is None:
        pytest.skip("the native library is not installed, or this CPU lacks AVX2")
    return isa


def test_the_instruction_set_in_use_is_told(best):
    """With the default settings it is the best that CPU and library share."""
    [finding] = findings(TransformersConfig())
    assert finding.ok
    assert finding.message.endswith(f"use {best.name} here")


def test_torch_by_choice_is_no_fault():
    """Who set it knows; what it costs is said all the same."""
    [finding] = findings(TransformersConfig(isa="torch"))
    assert finding.ok
    assert "slower" in finding.message


def test_an_instruction_set_that_the_cpu_lacks_is_told_before_a_model_is_loaded(best):
    """The hint is the setting to write."""
    if best is Isa.AMX:
        pytest.skip("this CPU has them all")
    [finding] = findings(TransformersConfig(isa="amx"))
    assert not finding.ok
    assert not finding.usable
    assert best.name in finding.message
    assert 'isa = "auto"' in finding.hint
