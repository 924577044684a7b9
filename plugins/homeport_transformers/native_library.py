"""The native library, bound through ctypes; ``native/abi.h`` says what each part means."""

import ctypes
from collections.abc import Collection
from enum import IntEnum
from functools import cache
from pathlib import Path

from homeport import LoadError

LIBRARY_FILE = Path(__file__).with_name("libhomeport_native.so")
ABI_VERSION = 1

_Int = ctypes.c_int32


class Isa(IntEnum):
    """Instruction sets that the library has kernels for, weakest first."""

    AVX2 = 1
    AVX2_VNNI = 2
    AVX512 = 3
    AMX = 4


class Kind(IntEnum):
    """How a matrix is stored."""

    F32 = 1
    BF16 = 2
    Q8 = 3
    Q4 = 4
    Q4_MIN = 5


class Activation(IntEnum):
    """What gates the MLP."""

    SILU = 0
    GELU_TANH = 1


class Matrix(ctypes.Structure):
    """``HpMatrix``."""

    _fields_ = (
        ("kind", _Int),
        ("rows", _Int),
        ("cols", _Int),
        ("group", _Int),
        ("codes", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("mins", ctypes.c_void_p),
    )


MATRICES = ("query", "key", "value", "output", "gate", "up", "down")
VECTORS = (
    *(f"{name}_bias" for name in MATRICES),
    "attention_norm",
    "attention_post_norm",
    "mlp_norm",
    "mlp_post_norm",
    "query_norm",
    "key_norm",
)


class Layer(ctypes.Structure):
    """``HpLayer``."""

    _fields_ = (
        *((name, Matrix) for name in MATRICES),
        *((name, ctypes.c_void_p) for name in VECTORS),
        ("window", _Int),
        ("rotary", _Int),
    )


class Model(ctypes.Structure):
    """``HpModel``."""

    _fields_ = (
        *(
            (name, _Int)
            for name in (
                "isa",
                "threads",
                "layer_count",
                "hidden",
                "mlp",
                "heads",
                "kv_heads",
                "head_dim",
                "rotary_dim",
                "vocabulary",
                "context",
                "slots",
                "activation",
                "cache_kind",
            )
        ),
        *(
            (name, ctypes.c_float)
            for name in (
                "norm_epsilon",
                "attention_scale",
                "attention_softcap",
                "logit_softcap",
                "embedding_scale",
            )
        ),
        ("planes", _Int),
        ("embedding", Matrix),
        ("head", Matrix),
        ("norm", ctypes.c_void_p),
        ("rotary", ctypes.c_void_p * 2),
        ("layers", ctypes.POINTER(Layer)),
    )


class Row(ctypes.Structure):
    """``HpRow``."""

    _fields_ = (("slot", _Int), ("start", _Int), ("count", _Int), ("logits", _Int))


_SIGNATURES = {
    "hp_abi_fingerprint": (ctypes.c_int64, ()),
    "hp_best_isa": (_Int, ()),
    "hp_runs_here": (_Int, (_Int,)),
    "hp_last_error": (ctypes.c_char_p, ()),
    "hp_open": (ctypes.c_void_p, (ctypes.POINTER(Model),)),
    "hp_close": (None, (ctypes.c_void_p,)),
    "hp_cache_bytes_per_token": (ctypes.c_int64, (ctypes.c_void_p,)),
    "hp_forward": (_Int, (ctypes.c_void_p, ctypes.POINTER(Row), _Int, ctypes.c_void_p, ctypes.c_void_p)),
    "hp_copy_prefix": (_Int, (ctypes.c_void_p, _Int, _Int, _Int)),
    "hp_release": (_Int, (ctypes.c_void_p, _Int, _Int)),
    "hp_matmul": (
        _Int,
        (_Int, _Int, ctypes.POINTER(Matrix), ctypes.c_void_p, _Int, ctypes.c_void_p),
    ),
    "hp_read_bandwidth": (ctypes.c_double, (_Int, ctypes.c_int64)),
}


def bind(path: Path) -> ctypes.CDLL:
    """Open a library file and declare its functions.

    Raises:
        LoadError: It cannot be opened, lacks a function, or speaks another version of the interface.
    """
    hint = "Reinstall homeport, so that the library is built from its own sources"
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise LoadError(f"the native library {path} cannot be used: {error}", hint=hint) from error
    found = library.hp_abi_fingerprint()
    expected = ABI_VERSION << 32 | ctypes.sizeof(Model) << 16 | ctypes.sizeof(Layer)
    if found != expected:
        raise LoadError(
            f"the native library {path} has interface {found:#x}, expected {expected:#x}", hint=hint
        )
    return library


@cache
def installed_library() -> ctypes.CDLL | None:
    """Open the library that came with this package; None where it was built without one.

    Raises:
        LoadError: It is there and cannot be used.
    """
    return bind(LIBRARY_FILE) if LIBRARY_FILE.is_file() else None


def usable_isas() -> tuple[Isa, ...]:
    """Give the instruction sets that this CPU and the library share, weakest first."""
    library = installed_library()
    return tuple(isa for isa in Isa if library is not None and library.hp_runs_here(isa))


def best_isa() -> Isa | None:
    """Give the best instruction set that this CPU and the library share; None where there is none."""
    return max(usable_isas(), default=None)


def choose_isa(wanted: str, usable: Collection[Isa]) -> Isa | None:
    """Choose what the setting ``isa`` asks for; None where it leaves the choice and there is none.

    Args:
        wanted: ``auto``, ``amx``, ``avx512`` or ``avx2``, which takes the VNNI of 256-bit vectors too.
        usable: What there is.

    Raises:
        LoadError: It asks for one that is not there.
    """
    if wanted == "auto":
        return max(usable, default=None)
    kinds = {Isa.AVX2, Isa.AVX2_VNNI} if wanted == "avx2" else {Isa[wanted.upper()]}
    found = max(kinds.intersection(usable), default=None)
    if found is None:
        present = ", ".join(isa.name for isa in sorted(usable)) or "none of them"
        raise LoadError(
            f"[plugins.transformers-cpu] isa is {wanted!r}, this CPU has {present}",
            hint='Write [plugins.transformers-cpu] isa = "auto"',
        )
    return found


def last_error(library: ctypes.CDLL) -> str:
    """Say why the last call of this thread failed."""
    message = library.hp_last_error()
    return str(message.decode()) if message else "unknown"
