import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.request import Request, urlopen

import ollama as package
import psutil
import pytest
from ollama import Client

from homeport import Settings

pytestmark = pytest.mark.model

CHAT_MODEL = "smollm2:135m"
CLIENTS = 8
TOKENS = 64


def stream(url, prompt, seen=None, name=None):
    """Generate a fixed number of tokens; note the order in which pieces come."""
    options = {"temperature": 0, "num_predict": TOKENS}
    count = 0
    with closing(Client(host=url)) as client:
        for part in client.generate(CHAT_MODEL, prompt, raw=True, stream=True, options=options):
            if part.done:
                count = part.eval_count
            elif seen is not None:
                seen.append(name)
    return count


def test_eight_clients_share_one_batch(starter_server):
    """While eight streams run, every hundred pieces hold some of each."""
    prompts = [f"Once upon a time, number {n} said that" for n in range(CLIENTS)]
    seen = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        counts = list(pool.map(lambda n: stream(starter_server.url, prompts[n], seen, n), range(CLIENTS)))
    assert counts == [TOKENS] * CLIENTS
    middle = seen[len(seen) // 2 - 50 : len(seen) // 2 + 50]
    assert set(middle) == set(range(CLIENTS))


def killed_in_the_middle(server, ollama, **options):
    """Stream an answer whose worker is killed behind its first piece; give the pieces that came."""
    pieces = []
    for chunk in ollama.generate(CHAT_MODEL, "Once", raw=True, stream=True, options=options):
        if not pieces:
            kill_workers(server.pid)
        pieces.append(chunk)
    return pieces


def test_killed_worker_does_not_cost_a_greedy_answer(starter_server, ollama):
    """``kill -9`` mid-answer: a fresh worker goes on behind the last token, and the text is the same."""
    whole = ollama.generate(CHAT_MODEL, "Once", raw=True, options={"temperature": 0, "num_predict": 200})
    pieces = killed_in_the_middle(starter_server, ollama, temperature=0, num_predict=200)
    assert pieces[-1].done
    assert "".join(piece.response for piece in pieces) == whole.response
    assert pieces[-1].eval_count == whole.eval_count


def test_killed_worker_ends_the_stream_and_the_next_request_works(starter_server, ollama):
    """What was left to chance ends in an error in the stream's own form; a fresh answer comes within 10 s."""
    with pytest.raises(package.ResponseError) as caught:
        killed_in_the_middle(starter_server, ollama, temperature=1, num_predict=400)
    assert caught.value.error == "an error was encountered while running the model"
    started = time.monotonic()
    answer = ollama.generate(CHAT_MODEL, "What is the capital of France?", options={"temperature": 0})
    assert "Paris" in answer.response
    assert time.monotonic() - started < 10


def test_killed_worker_ends_an_openai_stream_with_an_error_object_and_no_done(starter_server):
    """The SSE form of the same: ``data: {"error": ...}`` and the end of the stream."""
    body = {
        "model": CHAT_MODEL,
        "messages": [{"role": "user", "content": "Tell a long story."}],
        "stream": True,
        "max_tokens": 400,
    }
    request = Request(f"{starter_server.url}/v1/chat/completions", json.dumps(body).encode())
    lines = []
    with urlopen(request) as response:
        for line in response:
            if not lines:
                kill_workers(starter_server.pid)
            if line.strip():
                lines.append(line.decode().strip())
    error = json.loads(lines[-1].removeprefix("data: "))
    assert error["error"]["type"] == "api_error"
    assert "data: [DONE]" not in lines


def kill_workers(server_pid):
    for child in psutil.Process(server_pid).children():
        os.kill(child.pid, signal.SIGKILL)


def test_settings_have_the_slots_that_the_clients_need():
    """Eight clients in one batch is the default, not a tuned setting."""
    assert Settings().models.slots >= CLIENTS
