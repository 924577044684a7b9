import asyncio

from loguru import logger

from homeport.testing.raw_server import whole


async def test_warm_models_are_loaded_at_the_start_and_kept_by_empty_prompts(ollama, start):
    """They are touched again and again, and never asked to write anything."""
    ollama.play("POST", "/api/generate", [whole({"done": True, "done_reason": "load"})])
    backend = start(ollama, warm=("llama3.2", "other"), health_seconds=0.05)
    touches = []
    async with asyncio.timeout(10):
        while len(touches) < 4:
            await asyncio.sleep(0.01)
            touches = [asked.body for asked in ollama.asked if asked.path == "/api/generate"]
    assert {touch["model"] for touch in touches} == {"llama3.2", "other"}
    assert all(touch["prompt"] == "" and touch["keep_alive"] > 0 for touch in touches)
    assert backend.stats()["models_cached"] == 2


async def test_model_that_cannot_be_kept_warm_harms_no_other(ollama, start):
    """It is told in the log, and not counted."""
    ollama.play("POST", "/api/generate", [whole({"error": "model not found"}, 404)], [whole({"done": True})])
    backend = start(ollama, warm=("gone", "llama3.2"), health_seconds=3600)
    async with asyncio.timeout(10):
        while backend.stats()["models_cached"] != 1:  # noqa: ASYNC110 - figures tell nobody
            await asyncio.sleep(0.01)


async def test_model_that_cannot_be_kept_warm_is_told_once(ollama, start):
    """A name that is misspelt does not fill the log, a line each half minute for ever."""
    ollama.play("POST", "/api/generate", [whole({"error": "model not found"}, 404)])
    told = []
    handler = logger.add(lambda line: told.append(str(line)), format="{message}", level="WARNING")
    try:
        start(ollama, warm=("gone",), health_seconds=0.02)
        async with asyncio.timeout(10):
            while sum(each.path == "/api/generate" for each in ollama.asked) < 4:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
    finally:
        logger.remove(handler)
    assert sum("cannot keep gone warm" in line for line in told) == 1
