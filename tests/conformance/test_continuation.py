import json
import shutil
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from homeport import ChatPrompt, GenerationRequest, LoadPlan, Message, Role, Sampling, TextDelta, TextPrompt
from homeport.engine.engine import Engine
from homeport.engine.tokenizer import TextTokenizer
from homeport.models.conversion.folder_weights import folder_weights
from homeport.plugin.imports import import_object

pytestmark = [pytest.mark.model, pytest.mark.slow]

TOKENS = 24
PROMPTS = json.loads((Path(__file__).parent / "prompts.json").read_text())[:10]
PLAN = LoadPlan(context_length=512, slots=8, threads=2)


@pytest.fixture(scope="module")
def engine(starter_folder, tmp_path_factory):
    """homeport's engine around the starter model in float32, on the native kernels where there are any."""
    folder = tmp_path_factory.mktemp("float")
    for file in starter_folder.iterdir():
        if file.suffix in {".json", ".jinja"}:
            shutil.copy(file, folder)
    weights = {
        weight.name: torch.from_numpy(np.array(weight.values()))
        for weight in folder_weights(starter_folder, ["model.safetensors"])
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = import_object("homeport_transformers.config:TransformersConfig")(isa="auto")
    model = import_object("homeport_transformers.model:TransformersModel")(config)
    return Engine(model, model.load(folder, PLAN), TextTokenizer(folder), PLAN)


def answers(engine, requests):
    """Run requests at once; give the pieces of each."""
    pieces = {request.id: [] for request in requests}
    told = [event for request in requests for event in engine.submit(request)]
    while engine.busy:
        told += engine.step()
    for each in told:
        if isinstance(each.event, TextDelta):
            pieces[each.request_id].append(each.event.text)
    return pieces


def test_a_greedy_answer_cut_anywhere_goes_on_with_the_same_text(engine):
    """Ten answers of the starter model, cut behind every piece and continued, are the uncut ones.

    The tokenizer cuts none of them into other tokens than the model wrote; a change that makes it do so
    shows here.
    """
    sampling = Sampling(temperature=0, max_tokens=TOKENS)
    for place, text in enumerate(PROMPTS):
        prompt = ChatPrompt((Message(Role.USER, text),)) if place % 2 else TextPrompt(text)
        whole = GenerationRequest(id="whole", model="starter", prompt=prompt, sampling=sampling)
        pieces = answers(engine, [whole])["whole"]
        cut = [
            attrs.evolve(
                whole,
                id=str(count),
                begun="".join(pieces[:count]),
                sampling=attrs.evolve(sampling, max_tokens=TOKENS - count),
            )
            for count in range(1, len(pieces))
        ]
        rests = answers(engine, cut)
        for request in cut:
            assert request.begun + "".join(rests[request.id]) == "".join(pieces)
