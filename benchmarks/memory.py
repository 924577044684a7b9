"""Memory of a loaded model's worker, before and after one sequence of 2,048 tokens.

    python -m benchmarks.memory --model 1.1b --quant int4 --json

Resident memory counts mapped weights; proportional memory shares them among the processes that map them.
"""

import asyncio
import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

import click

from benchmarks.command import Setup, command
from benchmarks.installed import PUBLISHED, QUANTS, folder_of, home_of, model_name
from benchmarks.live_server import LiveServer, serving
from benchmarks.models import STARTER
from benchmarks.passage import passage_tokens
from benchmarks.random_llama import SIZES
from benchmarks.traffic import Prompts, Request, client

_CONTEXT = 2048
_ANSWER_TOKENS = 64
_FIRST_PROMPT_TOKENS = 8
_MIB = 1024**2


@command(
    "memory",
    click.option("--model", type=click.Choice([*SIZES, STARTER]), default="1.1b", show_default=True),
    click.option("--quant", type=click.Choice([*QUANTS, PUBLISHED]), default="int4", show_default=True),
    click.option("--context", default=_CONTEXT, show_default=True, help="Tokens, answer included."),
)
def main(setup: Setup, *, model: str, quant: str, context: int):
    """Read the kernel's account of host and worker, in MiB."""
    folder = folder_of(setup.models, model, quant)
    prompts = Prompts(passage_tokens(folder))
    stored = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / _MIB
    settings = {"models_context_length": context, "models_threads": setup.threads}
    rows = []
    with serving(home_of(setup.models), **settings) as server:
        for state, tokens in (("loaded", _FIRST_PROMPT_TOKENS), ("full context", context - _ANSWER_TOKENS)):
            asyncio.run(_ask(server, model_name(model, quant), prompts.text(tokens)))
            row = {"model": f"{model} {quant}", "state": state, "weights_file": round(stored, 1)}
            rows.append(row | server.memory())
    return rows


async def _ask(server: LiveServer, name: str, prompt: list[int]) -> None:
    async with client(server.url, name) as asking:
        answer = await asking.ask(Request(prompt=prompt, answer_tokens=_ANSWER_TOKENS))
    if answer.error:
        raise click.ClickException(f"the server failed: {answer.error}")


if __name__ == "__main__":
    main()
