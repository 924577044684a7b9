"""The native library is opened, or the reason is said; it survives what the system refuses."""

import subprocess
import sys
from pathlib import Path

import pytest
from transformers import LlamaConfig

from homeport import LoadError
from homeport_transformers.native_library import LIBRARY_FILE, best_isa, bind

SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
}
FEW_THREADS = """
import resource
from homeport_transformers.native_library import installed_library, last_error
library = installed_library()
kilobytes = int(open("/proc/self/status").read().partition("VmSize:")[2].split()[0])
resource.setrlimit(resource.RLIMIT_AS, (kilobytes * 1024 + 100 * 2**20,) * 2)
assert library.hp_read_bandwidth(1000, 2**20) == 0.0
print(last_error(library))
assert library.hp_read_bandwidth(2, 2**20) > 0.0
"""
FORK = """
import os, sys
from pathlib import Path
from homeport import LoadPlan, TokenBatch, TokenRow
from homeport_transformers.config import TransformersConfig
from homeport_transformers.model import TransformersModel
model = TransformersModel(TransformersConfig())
model.load(Path(sys.argv[1]), LoadPlan(context_length=16, slots=1, threads=3))
batch = TokenBatch((TokenRow(0, 0, (1, 2, 3), 1),))
expected = model.forward(batch)
child = os.fork()
if not child:
    is_equal = bool((model.forward(batch) == expected).all())
    del model
    os._exit(0 if is_equal else 9)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture(autouse=True)
def _best():
    if best_isa() is None:
        pytest.skip("the native library is not installed, or this CPU lacks AVX2")


@pytest.mark.parametrize("content", [b"", b"\x7fELF but no more"], ids=["empty", "cut off"])
def test_a_library_that_is_none_is_a_load_error(tmp_path, content):
    """The message names the file, and the hint how to get a sound one."""
    path = tmp_path / LIBRARY_FILE.name
    path.write_bytes(content)
    with pytest.raises(LoadError, match=LIBRARY_FILE.name) as caught:
        bind(path)
    assert "Reinstall" in caught.value.hint


def test_a_library_of_something_else_is_a_load_error():
    """What lacks our functions is told apart from what cannot be opened."""
    with pytest.raises(LoadError, match="hp_abi_fingerprint"):
        bind(Path("libc.so.6"))


def test_threads_that_the_system_refuses_are_an_error_and_not_the_end():
    """Those that had started are stopped, and fewer work afterwards."""
    done = subprocess.run(
        [sys.executable, "-c", FEW_THREADS], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Resource temporarily unavailable" in done.stdout


def test_a_forked_process_computes_without_the_threads_it_lost(save, tmp_path):
    """The caller takes all tasks, and closing does not wait for threads that are gone."""
    save(LlamaConfig(**SIZES))
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == "0", done.stderr
