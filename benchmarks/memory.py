"""Memory of a loaded model's worker, before and after one sequence of 2,048 tokens.

    python -m benchmarks.memory --model 1.1b --quant int4 --json

Resident memory counts mapped weights; proportional memory shares them among the processes that map them. The
overhead is what is resident besides the files that are loaded and the cache of the tokens that were computed.
"""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

import click

from benchmarks.command import Setup, command
from benchmarks.installed import PUBLISHED, QUANTS, build_of, folder_of, home_of, model_name
from benchmarks.live_server import LiveServer, serving
from benchmarks.models import STARTER
from benchmarks.own_model import one_backend
from benchmarks.passage import passage_tokens
from benchmarks.random_llama import SIZES
from benchmarks.traffic import Prompts, Request, client
from homeport.models.build_record import Build

_CONTEXT = 2048
_ANSWER_TOKENS = 64
_FIRST_PROMPT_TOKENS = 8
_MIB = 1024**2


@command(
    "memory",
    click.option("--model", type=click.Choice([*SIZES, STARTER]), default="1.1b", show_default=True),
    click.option("--quant", type=click.Choice([*QUANTS, PUBLISHED]), default="int4", show_default=True),
    one_backend,
    click.option("--context", default=_CONTEXT, show_default=True, help="Tokens, answer included."),
)
def main(setup: Setup, *, model: str, quant: str, backend: str, context: int):
    """Read the kernel's account of host and worker, in MiB."""
    folder = folder_of(setup.models, model, quant)
    prompts = Prompts(passage_tokens(folder))
    settings = {
        "models_context_length": context,
        "models_threads": setup.threads,
        "models_backend": backend,
    }
    rows = []
    with serving(home_of(setup.models), **settings) as server:
        for state, tokens in (("loaded", _FIRST_PROMPT_TOKENS), ("full context", context - _ANSWER_TOKENS)):
            asyncio.run(_ask(server, model_name(model, quant), prompts.text(tokens)))
            build = build_of(setup.models, model_name(model, quant), backend)
            told = {"model": f"{model} {quant}", "backend": backend, "state": state}
            rows.append(told | _memory(folder, build, server.memory(), tokens + _ANSWER_TOKENS))
    return rows


def _memory(folder: Path, build: Build | None, memory: Mapping[str, float], tokens: int):
    """Set memory beside what is loaded; the cache's size, and so the overhead, is known of builds."""
    files = folder.glob("*.safetensors") if build is None else build.folder.glob("*.onnx*")
    stored = sum(file.stat().st_size for file in files) / _MIB
    row = {"weights_file": round(stored, 1), **memory}
    if build is not None:
        cache = build.report.kv_bytes_per_token * tokens / _MIB
        row["overhead"] = round(memory["worker_rss"] - stored - cache, 1)
    return row


async def _ask(server: LiveServer, name: str, prompt: list[int]) -> None:
    async with client(server.url, name) as asking:
        answer = await asking.ask(Request(prompt=prompt, answer_tokens=_ANSWER_TOKENS))
    if answer.error:
        raise click.ClickException(f"the server failed: {answer.error}")


if __name__ == "__main__":
    main()
