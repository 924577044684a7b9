import math

import ollama as package
import pytest

pytestmark = pytest.mark.model

CHAT_MODEL = "smollm2:135m"
EMBEDDING_MODEL = "all-minilm"
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
GREEDY = {"temperature": 0}


def test_chat_answers_with_paris(ollama):
    """The starter model answers a real question, whole and with its timings."""
    answer = ollama.chat(CHAT_MODEL, FRANCE, options=GREEDY)
    assert "Paris" in answer.message.content
    assert answer.done_reason == "stop"
    assert answer.prompt_eval_count == 37
    assert answer.eval_count > 3
    assert min(answer.total_duration, answer.prompt_eval_duration, answer.eval_duration) > 0


def test_streamed_chat_is_the_same_text_in_pieces(ollama):
    """Streaming changes how the answer comes, not what it says."""
    whole = ollama.chat(CHAT_MODEL, FRANCE, options=GREEDY).message.content
    parts = list(ollama.chat(CHAT_MODEL, FRANCE, options=GREEDY, stream=True))
    assert "".join(part.message.content for part in parts) == whole
    assert len(parts) > 3
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]


def test_generate_applies_the_template_and_continues_a_context(ollama):
    """``context`` of one answer is what the next one begins with."""
    first = ollama.generate(CHAT_MODEL, "My name is Ada. Remember it.", options=GREEDY)
    assert first.context
    second = ollama.generate(CHAT_MODEL, "What is my name?", context=first.context, options=GREEDY)
    assert second.context[: len(first.context)] == first.context
    assert second.prompt_eval_count > len(first.context)


def test_raw_prompt_is_continued_verbatim(ollama):
    """``raw`` leaves the template out and returns no context."""
    answer = ollama.generate(
        CHAT_MODEL, "The capital of France is", raw=True, options={"temperature": 0, "num_predict": 4}
    )
    assert answer.response.startswith(" ")
    assert "Paris" in answer.response
    assert (answer.done_reason, answer.context) == ("length", None)


def test_options_are_honoured(ollama):
    """A seed repeats an answer, a stop text ends it, num_predict bounds it."""
    drawn = {"temperature": 1.5, "seed": 7, "num_predict": 24}
    texts = [ollama.generate(CHAT_MODEL, "Tell a story", options=drawn).response for _ in range(2)]
    assert texts[0] == texts[1]
    stopped = ollama.generate(CHAT_MODEL, "Count to ten", options={**GREEDY, "stop": ["5", "five"]})
    assert "5" not in stopped.response
    assert ollama.generate(CHAT_MODEL, "Hello", options={"num_predict": 3}).eval_count == 3


def test_models_are_listed_shown_and_resident(ollama):
    """Lists show display names; a model that was used is in memory."""
    names = [model.model for model in ollama.list().models]
    assert {"smollm2:135m", "all-minilm:22m"} <= set(names)
    shown = ollama.show(CHAT_MODEL)
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.details.quantization_level == "Q4_1"
    assert "<|im_start|>" in shown.template
    ollama.generate(CHAT_MODEL, "Hi", options={"num_predict": 1})
    (resident,) = [model for model in ollama.ps().models if model.model == "smollm2:135m"]
    assert resident.size > 100_000_000
    assert resident.size_vram == 0


def test_model_is_unloaded_on_request(ollama):
    """``keep_alive`` 0 without a prompt ends the worker."""
    ollama.generate(CHAT_MODEL, "Hi", options={"num_predict": 1})
    assert ollama.generate(CHAT_MODEL, keep_alive=0).done_reason == "unload"
    assert "smollm2:135m" not in [model.model for model in ollama.ps().models]


def test_embeddings_tell_meanings_apart(ollama):
    """Vectors have length 1, and sentences of like meaning lie closer."""
    texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "Stock markets fell sharply today."]
    vectors = ollama.embed(EMBEDDING_MODEL, texts).embeddings
    assert [len(vector) for vector in vectors] == [384] * 3
    assert all(math.hypot(*vector) == pytest.approx(1, abs=1e-5) for vector in vectors)
    near, far = (
        math.sumprod(vectors[0], vectors[n])
        if hasattr(math, "sumprod")
        else sum(x * y for x, y in zip(vectors[0], vectors[n], strict=True))
        for n in (1, 2)
    )
    assert near > far + 0.3
    assert len(ollama.embeddings(EMBEDDING_MODEL, "A cat").embedding) == 384


def test_errors_are_typed_and_name_their_cause(ollama):
    """Each refusal has the status and the text that Ollama's users know."""
    with pytest.raises(package.ResponseError, match="model 'no-such-model' not found") as missing:
        ollama.chat("no-such-model", FRANCE)
    assert missing.value.status_code == 404
    with pytest.raises(package.ResponseError, match="does not support chat") as unable:
        ollama.chat(EMBEDDING_MODEL, FRANCE)
    assert unable.value.status_code == 400
    with pytest.raises(package.ResponseError, match="must be of type integer"):
        ollama.generate(CHAT_MODEL, "Hi", options={"num_ctx": "many"})
