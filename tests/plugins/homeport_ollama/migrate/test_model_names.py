import pytest

from homeport_ollama.migrate.addresses import Target, Targets
from homeport_ollama.migrate.file_kinds import FileKind
from homeport_ollama.migrate.inspection import inspect
from homeport_ollama.migrate.tree import TreeFile

TARGETS = Targets(Target.parse("http://127.0.0.1:11435"))
URL = b"http://localhost:11434"


def models_of(data, kind):
    """List the models that a file names."""
    return inspect(TreeFile("file", kind, data), TARGETS, frozenset()).models


@pytest.mark.parametrize(
    ("kind", "data", "models"),
    [
        (FileKind.YAML, b"llm:\n  model: mistral\n  url: " + URL, ("mistral",)),
        (FileKind.YAML, b"llm: {model: mistral, options: {base_url: '" + URL + b"'}}", ("mistral",)),
        (FileKind.YAML, b"model_name: a\nmodel-id: b\nrerank_model: c\nurl: " + URL, ("a", "b", "c")),
        (FileKind.YAML, b"models: [a, 'b:1b']\nurl: " + URL, ("a", "b:1b")),
        (FileKind.YAML, b"models: [{name: A b, model: x, provider: ollama}, {name: y}]", ("x", "y")),
        (FileKind.YAML, b"model: ollama/mistral\nother_model: gpt-4o", ("mistral",)),
        (FileKind.JSON, b'{"llm": {"model": "llama3.2:3b"}, "url": "' + URL + b'"}', ("llama3.2:3b",)),
        (FileKind.JSON, b'{"embeddingModel": "e5", "url": "http://127.0.0.1:11435"}', ("e5",)),
        (FileKind.ENV, b"MODEL=phi4\nOLLAMA_HOST=" + URL, ("phi4",)),
        (FileKind.ENV, b"OPENAI_MODEL=phi4\nOPENAI_BASE_URL=" + URL + b"/v1", ("phi4",)),
        (FileKind.TOML, b"[llm]\nmodel = 'phi4'\nurl = '" + URL + b"'\n", ("phi4",)),
        (FileKind.YAML, b"services: {web: {environment: [MODEL=phi4, 'URL=" + URL + b"']}}", ("phi4",)),
    ],
)
def test_models_are_found_beside_an_address(kind, data, models):
    """By any key that is called after models, in files or objects that point at an Ollama."""
    assert models_of(data, kind) == models


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (FileKind.YAML, b"model: mistral\nurl: http://localhost:8080 # ollama"),
        (FileKind.YAML, b"a: {provider: openai, model: m}\nb: {provider: ollama}"),
        (FileKind.YAML, b"openai: {model: m}\nollama: {url: x}"),
        (FileKind.YAML, b"a: {base_url: 'https://api.x.ai/v1', model: m}\nurl: " + URL),
        (FileKind.ENV, b"OPENAI_MODEL=m\nMODEL=gpt-4o\nOLLAMA_HOST=" + URL),
        (FileKind.ENV, b"OLLAMA_MODELS=models\nMAX_MODEL=3\nMODEL=true\nX_MODEL=a.gguf\nY_MODEL=/a/b"),
        (FileKind.YAML, b"services: {o: {image: ollama/ollama, model: m}}"),
    ],
)
def test_models_of_others_are_not_asked_for(kind, data):
    """Other providers, other servers, folders, numbers and files name no model of an Ollama."""
    assert models_of(data, kind) == ()


@pytest.mark.parametrize(
    ("code", "models"),
    [
        (b"import ollama\nollama.chat(model='qwen3:8b')", ("qwen3:8b",)),
        (b"import ollama as o\no.chat('phi4')", ("phi4",)),
        (b"from ollama import chat as ask\nask('phi4', messages=[])", ("phi4",)),
        (b"from ollama import Client\nClient().generate(model='a')", ("a",)),
        (b"import ollama\nc = ollama.AsyncClient(host='x')\nasync def f(): await c.embed('e')", ("e",)),
        (
            b"from ollama import Client\nclass A:\n def f(self):\n  self.c = Client()\n  self.c.chat('s')",
            ("s",),
        ),
        (b"from langchain_ollama import ChatOllama\nChatOllama(model='mistral')", ("mistral",)),
        (b"import langchain_ollama as l\nl.OllamaEmbeddings(model='e')\nl.OllamaLLM(model='m')", ("e", "m")),
        (b"import ollama, os\nM = os.getenv('M', 'd')\nollama.chat(model=M)", ("d",)),
        (b"import ollama\nM: str = 'k'\nollama.chat(M)", ("k",)),
        (b"import ollama\nollama.chat(model=f())\nother.chat('x')\nollama.copy('a', 'b')", ()),
        (b"from x import chat\nchat('ollama')\nopenai.chat(model='gpt-4o')", ()),
    ],
)
def test_models_in_code_are_those_of_calls(code, models):
    """The first argument, or the one called model, of a call to a client of Ollama."""
    assert models_of(code, FileKind.PYTHON) == models
