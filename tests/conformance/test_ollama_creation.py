"""Making, copying and removing models with Ollama's official client, on models that really answer."""

import hashlib
import os
import shutil

import ollama as package
import pytest

pytestmark = pytest.mark.model

CHAT_MODEL = "smollm2:135m"
GREEDY = {"temperature": 0, "num_predict": 12}
QUESTION = [{"role": "user", "content": "Say hello."}]


def link_or_copy(source, target):
    """Give a file a further name, or copy it onto another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def own_home(starter_home, tmp_path_factory):
    """A home of our own with the starter models, whose weights are not copied."""
    home = tmp_path_factory.mktemp("own-home")
    shutil.copytree(starter_home / "models", home / "models", copy_function=link_or_copy)
    return home


@pytest.fixture(scope="module")
def client(own_home, serve):
    with serve(own_home) as live:
        client = package.Client(host=live.url)
        yield client
        client.close()


@pytest.fixture
def made(client):
    """Make a model from the starter model, which goes when the test ends."""
    names = set()

    def make(name, **fields):
        answer = client.create(name, **({"from_": CHAT_MODEL} | fields))
        assert answer.status == "success"
        names.add(name)
        return name

    yield make
    for name in names:
        client.delete(name)


def rows(client):
    return {model.model: model for model in client.list().models}


def test_a_made_model_answers_as_its_maker_says(client, made):
    """Its system text, messages and parameters count, without a word of the request, in every dialect."""
    earlier = [
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": "I am Captain Ahab."},
    ]
    name = made("captain", system="You are a captain.", messages=earlier, parameters=GREEDY)
    answer = client.chat(name, QUESTION)
    said = [{"role": "system", "content": "You are a captain."}, *earlier, *QUESTION]
    same = client.chat(CHAT_MODEL, said, options=GREEDY)
    assert answer.message.content == same.message.content
    assert answer.prompt_eval_count == same.prompt_eval_count
    assert answer.eval_count <= GREEDY["num_predict"]
    plain = client.chat(CHAT_MODEL, QUESTION, options=GREEDY)
    assert plain.prompt_eval_count < same.prompt_eval_count
    assert client.generate(name, "Say hello.").response == same.message.content


def test_the_requests_own_system_text_takes_the_place_of_the_models(client, made):
    """In chat by a first message, in generate by ``system``."""
    name = made("captain", system="You are a captain who speaks of nothing but whales and the sea.")
    said = [{"role": "system", "content": "Be kind."}, *QUESTION]
    expected = client.chat(CHAT_MODEL, said, options=GREEDY)
    assert client.chat(name, said, options=GREEDY).prompt_eval_count == expected.prompt_eval_count
    answer = client.generate(name, "Say hello.", system="Be kind.", options=GREEDY)
    assert answer.response == expected.message.content


def test_a_go_template_reaches_the_model(client, made):
    """The prompt is what the template says, token by token."""
    template = "{{ if .System }}# {{ .System }}\n{{ end }}Q: {{ .Prompt }}\nA: {{ .Response }}"
    name = made("asker", template=template, system="Short.")
    answer = client.chat(name, QUESTION, options=GREEDY)
    raw = client.generate(CHAT_MODEL, "# Short.\nQ: Say hello.\nA: ", raw=True, options=GREEDY)
    assert answer.message.content == raw.response
    assert answer.prompt_eval_count == raw.prompt_eval_count


def test_show_tells_what_was_said_and_builds_it_again(client, made):
    """Its own template, not the translation; made anew from what it shows, the model is the same."""
    template = "Q: {{ .Prompt }}\nA: {{ .Response }}"
    name = made("first", template=template, system="Be\nbrief.", license="MIT", parameters={"stop": ["x y"]})
    shown = client.show(name)
    assert shown.template == template
    assert shown.details.parent_model == CHAT_MODEL
    assert 'SYSTEM """Be\nbrief."""\n' in shown.modelfile
    assert "PARAMETER stop x y\n" in shown.modelfile
    assert shown.capabilities == ["completion"]
    again = made(
        "second", template=shown.template, system="Be\nbrief.", license="MIT", parameters={"stop": ["x y"]}
    )
    assert rows(client)[f"{again}:latest"].digest == rows(client)[f"{name}:latest"].digest


def test_progress_comes_line_by_line(client, made):
    """Each line parses, the weights are an existing layer, the last one is success."""
    made("mine")
    steps = [step.status for step in client.create("mine", from_=CHAT_MODEL, system="a", stream=True)]
    assert steps[0].startswith("using existing layer sha256:")
    assert steps[1] == f"creating new layer sha256:{hashlib.sha256(b'a').hexdigest()}"
    assert steps[2:] == ["writing manifest", "success"]


def test_copies_and_made_models_take_no_room(client, made, own_home):
    """Copies are names of one digest; what was made shares the weights on disk."""
    made("mine", system="a")
    assert client.copy("mine", "yours").status == "success"
    listed = rows(client)
    assert listed["yours:latest"].digest == listed["mine:latest"].digest
    assert listed["mine:latest"].digest != listed[CHAT_MODEL].digest
    weights = list((own_home / "models" / "entries").glob("*/model.safetensors"))
    assert len({path.stat().st_ino for path in weights}) < len(weights)
    assert client.delete("yours").status == "success"
    assert client.chat("mine", QUESTION, options=GREEDY).done


def test_what_was_made_outlives_what_it_was_made_from(client, made):
    """Deleting the base takes nothing from the model, and makes the base unknown."""
    made("base", system="a")
    made("mine", from_="base", parameters=GREEDY)
    before = client.chat("mine", QUESTION).message.content
    client.delete("base")
    assert client.chat("mine", QUESTION).message.content == before
    with pytest.raises(package.ResponseError, match="not found"):
        client.chat("base", QUESTION)
    made("base")


def test_a_model_is_made_of_uploaded_files(client, made, own_home, tmp_path):
    """The files of an installed model, uploaded by the client, make a model that answers alike."""
    (folder,) = {
        path.parent
        for path in (own_home / "models" / "entries").glob("*/manifest.json")
        if '"smollm2' in path.read_text() or '"family": "llama"' in path.read_text()
        if '"system": "' not in path.read_text() or '"system": ""' in path.read_text()
    }
    files = {path.name: client.create_blob(path) for path in folder.iterdir() if path.name != "manifest.json"}
    name = made("uploaded", from_=None, files=files)
    expected = client.chat(CHAT_MODEL, QUESTION, options=GREEDY).message.content
    assert client.chat(name, QUESTION, options=GREEDY).message.content == expected


def test_errors_are_typed(client):
    """Status and text arrive in the client's own error."""
    with pytest.raises(package.ResponseError, match=r"template error: line 1") as caught:
        client.create("x", from_=CHAT_MODEL, template="{{ .Promt }}")
    assert caught.value.status_code == 400
    with pytest.raises(package.ResponseError, match='model "nope" not found') as caught:
        client.copy("nope", "x")
    assert caught.value.status_code == 404
