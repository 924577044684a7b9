"""How long a user waits: from ``homeport serve`` to the first healthy answer and to a model's first token.

    python -m benchmarks.startup --model 1.1b --quant int4 --json

Every round starts a new server. One unrecorded round comes first, so that files are in the page cache,
modules are compiled, and the model is built where the backend wants that.
"""

import asyncio
import sys
import time
from pathlib import Path

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

import click

from benchmarks.command import Setup, command
from benchmarks.figures import Spread
from benchmarks.installed import PUBLISHED, QUANTS, folder_of, home_of, model_name
from benchmarks.live_server import serving
from benchmarks.models import STARTER
from benchmarks.own_model import one_backend
from benchmarks.random_llama import SIZES
from benchmarks.traffic import Prompts, Request, client

_PROMPT_TOKENS = 8
_ROUNDS = 7


@command(
    "startup",
    click.option("--model", type=click.Choice([*SIZES, STARTER]), default="1.1b", show_default=True),
    click.option("--quant", type=click.Choice([*QUANTS, PUBLISHED]), default="int4", show_default=True),
    one_backend,
)
def main(setup: Setup, *, model: str, quant: str, backend: str):
    """Measure seconds from the start of the process."""
    folder_of(setup.models, model, quant)
    rounds = [_round(setup, model_name(model, quant), backend) for _ in range(setup.rounds(_ROUNDS) + 1)][1:]
    healthy, first = zip(*rounds, strict=True)
    told = {"model": f"{model} {quant}", "backend": backend}
    return [
        {**told, "until": "first healthy answer", "seconds": Spread.of(healthy)},
        {**told, "until": "first token", "seconds": Spread.of(first)},
    ]


def _round(setup: Setup, name: str, backend: str) -> tuple[float, float]:
    settings = {"models_threads": setup.threads, "models_backend": backend}
    with serving(home_of(setup.models), **settings) as server:
        asyncio.run(_first_token(server.url, name))
        return server.healthy_seconds, time.perf_counter() - server.started_at


async def _first_token(url: str, name: str) -> None:
    prompt = Prompts.without_meaning(_PROMPT_TOKENS).text(_PROMPT_TOKENS)
    async with client(url, name) as asking:
        answer = await asking.ask(Request(prompt=prompt, answer_tokens=1))
    if answer.error:
        raise click.ClickException(f"the server failed: {answer.error}")


if __name__ == "__main__":
    main()
