import gguf
import numpy as np
import pytest
from safetensors import safe_open

HEADS, KV_HEADS, WIDTH = 4, 2, 16


@pytest.fixture
def folder(benchmarks, tiny_folder, tmp_path):
    """A model of some thousand weights."""
    module = benchmarks("random_llama")
    sizes = module.LlamaSizes(hidden=64, layers=2, heads=HEADS, kv_heads=KV_HEADS, mlp=96, vocabulary=257)
    module.write_random_llama(tmp_path / "model", sizes, tiny_folder)
    return tmp_path / "model"


def stored(folder):
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        return {name: file.get_tensor(name).float().numpy() for name in file.keys()}  # noqa: SIM118


def test_the_same_seed_gives_the_same_weights(benchmarks, folder, tiny_folder, tmp_path):
    """A model can be made again, byte for byte."""
    module = benchmarks("random_llama")
    sizes = module.LlamaSizes(hidden=64, layers=2, heads=HEADS, kv_heads=KV_HEADS, mlp=96, vocabulary=257)
    module.write_random_llama(tmp_path / "again", sizes, tiny_folder)
    first, second = ((place / "model.safetensors").read_bytes() for place in (folder, tmp_path / "again"))
    assert first == second


def test_bfloat16_is_the_nearest_one(benchmarks):
    """Numbers are rounded to nearest, ties to even, as torch does."""
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    values[:2] = np.array([0x3F808000, 0x3F818000], np.uint32).view(np.float32)
    expected = torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()
    np.testing.assert_array_equal(benchmarks("random_llama").to_bf16(values), expected)


def test_the_peer_gets_the_very_same_weights(benchmarks, folder, tmp_path):
    """In the GGUF file only rows of queries and keys stand in another order, by pairs instead of halves."""
    benchmarks("gguf_export").write_gguf(folder, tmp_path / "model.gguf")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    original = stored(folder)
    assert len(tensors) == len(original)

    def exported(name):
        tensor = tensors[name]
        return gguf.quants.dequantize(tensor.data, tensor.tensor_type)

    down = exported("blk.1.ffn_down.weight")
    np.testing.assert_array_equal(down, original["model.layers.1.mlp.down_proj.weight"])
    np.testing.assert_array_equal(exported("output.weight"), original["lm_head.weight"])
    for name, source, heads in (("attn_q", "q_proj", HEADS), ("attn_k", "k_proj", KV_HEADS)):
        halves = original[f"model.layers.0.self_attn.{source}.weight"].reshape(heads, 2, WIDTH // 2, -1)
        pairs = exported(f"blk.0.{name}.weight").reshape(heads, WIDTH // 2, 2, -1)
        np.testing.assert_array_equal(pairs[:, :, 0], halves[:, 0])
        np.testing.assert_array_equal(pairs[:, :, 1], halves[:, 1])


def test_bits_per_weight_count_all_that_is_stored(benchmarks, folder):
    """A bfloat16 model has 16 bits per weight, and an own embedding is not read while decoding."""
    files = benchmarks("model_files").ModelFiles.read(folder)
    assert files.bits_per_weight == 16
    assert files.stored_bytes - files.read_bytes == 2 * 257 * 64
