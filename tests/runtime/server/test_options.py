"""Options from JSON to sampling."""

import attrs
import pytest

from homeport import InvalidRequestError, StoreError
from homeport.server.option_fields import model_options, read_options
from homeport.server.options import Options


def test_nothing_given_is_ollamas_defaults():
    """Without options sampling is as Ollama documents it."""
    sampling = read_options(None).sampling(top_logprobs=None)
    assert (sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p) == (0.8, 40, 0.9, 0.0)
    assert (sampling.repeat_last_n, sampling.repeat_penalty) == (64, 1.0)
    assert (sampling.seed, sampling.stop, sampling.max_tokens, sampling.top_logprobs) == (
        None,
        (),
        None,
        None,
    )


def test_typical_sampling_is_off_from_one_on():
    """As in llama.cpp, whatever is above."""
    for given, wanted in ((0.3, 0.3), (1, 1.0), (2.5, 1.0), (None, 1.0)):
        assert read_options({"typical_p": given}).sampling(top_logprobs=None).typical_p == wanted


def test_null_is_not_given():
    """A null option asks for nothing, as clients that send every option expect."""
    assert (
        read_options(dict.fromkeys(("temperature", "stop", "seed", "num_ctx", "use_mmap", "num_gpu")))
        == Options()
    )


def test_unknown_and_retired_options_are_ignored():
    """Options without effect never fail a request."""
    retired = (
        "mirostat mirostat_eta mirostat_tau tfs_z penalize_newline low_vram f16_kv logits_all vocab_only"
    )
    given = dict.fromkeys((*retired.split(), "use_mlock", "embedding_only", "numa", "colour"), "any")
    assert read_options(given | {"num_gpu": 1, "main_gpu": 0, "num_thread": 4}) == Options()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"num_ctx": "4096"}, 'option "num_ctx" must be of type integer'),
        ({"num_ctx": True}, 'option "num_ctx" must be of type integer'),
        ({"seed": [1]}, 'option "seed" must be of type integer'),
        ({"num_gpu": "all"}, 'option "num_gpu" must be of type integer'),
        ({"temperature": "hot"}, 'option "temperature" must be of type float32'),
        ({"use_mmap": 1}, 'option "use_mmap" must be of type boolean'),
        ({"stop": "x"}, 'option "stop" must be of type array'),
        ({"stop": [1]}, 'option "stop" must be of type array of strings'),
        ({"temperature": -1}, 'option "temperature" must be at least 0, got -1'),
        ({"top_p": 1.5}, 'option "top_p" must be between 0 and 1, got 1.5'),
        ({"num_predict": -3}, 'option "num_predict" must be between -2 and 2147483647, got -3'),
        ({"num_ctx": -1}, 'option "num_ctx" must be between 0 and 2147483647, got -1'),
        ({"top_k": 2**31}, 'option "top_k" must be between -1 and 2147483647, got 2147483648'),
        (
            {"presence_penalty": float("inf")},
            'option "presence_penalty" must be a finite number, got Infinity',
        ),
        ({"temperature": float("nan")}, 'option "temperature" must be at least 0, got NaN'),
        ({"seed": float("inf")}, 'option "seed" must be between'),
        ({"temperature": 10**400}, 'option "temperature" must be at least 0, got 1000'),
        ({"typical_p": -0.5}, 'option "typical_p" must be at least 0, got -0.5'),
    ],
)
def test_an_impossible_option_is_named(given, text):
    """A wrong type or range is refused with the option's name, and its value where it is out of range."""
    with pytest.raises(InvalidRequestError) as caught:
        read_options(given)
    assert caught.value.message.startswith(text)


def test_stops_are_bounded():
    """64 stop texts pass, one more does not."""
    assert len(read_options({"stop": ["x"] * 64}).stop or ()) == 64
    with pytest.raises(InvalidRequestError, match="at most 64 texts, got 65"):
        read_options({"stop": ["x"] * 65})


def test_a_fraction_is_cut_off():
    """A float given for an integer is truncated, as Go does."""
    assert read_options({"num_ctx": 512.9, "seed": 7.0}) == Options(num_ctx=512, seed=7)


@pytest.mark.parametrize(("given", "limit"), [(-1, None), (-2, None), (0, None), (1, 1)])
def test_num_predict_without_bound(given, limit):
    """-1, -2 and 0 generate until a stop, as in Ollama."""
    assert read_options({"num_predict": given}).sampling(top_logprobs=None).max_tokens == limit


def test_edges_that_sampling_has_no_word_for():
    """A top_p of 0 is tiny, a top_k of -1 keeps all, a seed of -1 is drawn, a tiny window is raised."""
    options = read_options({"top_p": 0, "top_k": -1, "seed": -1, "num_ctx": 1})
    sampling = options.sampling(top_logprobs=3)
    assert 0 < sampling.top_p < 1e-3
    assert (sampling.top_k, sampling.seed, sampling.top_logprobs) == (0, None, 3)
    assert options.context_length == 4
    assert Options().context_length is None


def test_a_negative_seed_is_one_of_its_own():
    """Any seed but -1 is deterministic and never negative."""
    first = Options(seed=-2).sampling(top_logprobs=None).seed
    assert first is not None
    assert first >= 0
    assert first != Options(seed=-3).sampling(top_logprobs=None).seed


def test_the_request_wins_over_the_model_over_the_default(served_model):
    """Options are taken from the request, then the model's PARAMETERs, then the defaults."""
    options = read_options({"temperature": 0.0, "num_predict": -1}).over(model_options(served_model))
    sampling = options.over(Options(top_p=1.0)).sampling(top_logprobs=None)
    assert (sampling.temperature, sampling.top_k, sampling.top_p) == (0.0, 7, 1.0)
    assert sampling.stop == ("<end>", "<stop>")
    assert sampling.max_tokens is None


def test_empty_stop_texts_stop_nothing():
    """An empty stop text would end every answer at once, so it is dropped."""
    assert read_options({"stop": ["", "x"]}).sampling(top_logprobs=None).stop == ("x",)


def test_an_impossible_parameter_of_a_model_is_the_stores_fault(impossible_model):
    """A damaged model is not blamed on the client."""
    with pytest.raises(StoreError, match="homeport pull"):
        model_options(impossible_model)


@pytest.fixture
def served_model(models):
    return models["scripted:1b"]


@pytest.fixture
def impossible_model(served_model):
    return attrs.evolve(served_model, parameters={"top_k": "many"})
