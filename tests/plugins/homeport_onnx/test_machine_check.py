"""What the backend tells the doctor."""

from importlib.metadata import version

import pytest

from homeport_onnx.config import OnnxConfig
from homeport_onnx.machine_check import findings, instructions


def test_version_instructions_and_processors_are_told(tmp_path):
    """One line names them, and nothing is to be mended."""
    flags = tmp_path / "cpuinfo"
    flags.write_text(
        "processor : 0\nflags\t\t: fpu avx2 fma avx512bw avx512vl avx512_vnni\n", encoding="ascii"
    )

    [finding] = findings(OnnxConfig(), flags)

    assert finding.ok
    assert finding.message.startswith(f"onnxruntime {version('onnxruntime')} computes with AVX512 VNNI on ")


def test_a_processor_without_fast_products_is_told_to_be_slow(tmp_path):
    """Where nothing can be read, nothing is claimed."""
    [finding] = findings(OnnxConfig(), tmp_path / "missing")
    assert "slowly" in finding.message


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("avx2 fma avx_vnni", "AVX VNNI"),
        ("avx2 fma avx512bw avx512vl", "AVX2"),
        ("fp asimd asimddp i8mm", "I8MM"),
        ("fp asimd asimddp", "DotProd"),
        ("sse4_2", ""),
    ],
)
def test_the_best_instructions_are_named(flags, name):
    """By what the processor has, on x86 and Arm."""
    assert instructions(flags.split()) == name
