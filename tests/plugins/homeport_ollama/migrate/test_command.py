import asyncio
import json

import pytest
from click.testing import CliRunner

from homeport.testing.raw_server import RawServer, whole
from homeport_ollama.migrate.command import migrate_command
from homeport_ollama.migrate.prompts import LEAST_PROMPTS, PROMPTS
from homeport_ollama.store_config import OllamaStoreConfig

ANSWER = {"model": "m", "created_at": "2026-11-21T11:00:00Z", "done": True}


@pytest.fixture
def run(tmp_path):
    """Run the verb; gives its output, and the exception where it raised one."""

    def invoke(*arguments, code=0, folder=None):
        command = migrate_command(
            OllamaStoreConfig(folder=str(folder or tmp_path / "none")), state=tmp_path / "state" / "ollama"
        )
        result = CliRunner().invoke(command, [str(each) for each in arguments])
        assert result.exit_code == code, result.output + repr(result.exception)
        return (
            result.output if code == 0 or isinstance(result.exception, SystemExit) else str(result.exception)
        )

    return invoke


def test_report_counts_what_it_found(project, run):
    """Totals, states and reasons, as JSON."""
    report = json.loads(run("report", project, "--to-container", "http://homeport:11434", "--json"))
    totals = report["totals"]
    assert totals["files_to_edit"] == 25
    assert totals["places"] == len(report["places"]) == totals["ready"] + totals["attention"]
    assert all(place["reason"] for place in report["places"])
    assert report["seconds"] >= 0
    assert "places" in run("report", project)


def test_report_tells_of_the_models_that_are_there(tmp_path, project, run):
    """Those of Ollama's store, with what cannot be used and why."""
    store = tmp_path / "ollama" / "manifests" / "registry.ollama.ai" / "library" / "odd"
    store.mkdir(parents=True)
    (store / "latest").write_text("{}")
    report = json.loads(run("report", project, "--json", folder=tmp_path / "ollama"))
    assert report["totals"]["models_attention"] == 1
    assert report["models"][0]["path"] == "odd:latest"


def test_page_is_one_file_and_escapes_what_it_shows(tmp_path, run):
    """Nothing that a project holds becomes markup, and nothing is loaded."""
    project = tmp_path / "<b>project"
    project.mkdir()
    (project / ".env").write_text("A=<script>alert(1)</script>http://localhost:11434\n")
    page = tmp_path / "report.html"
    run("report", project, "--html", page)
    text = page.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "<b>" not in text
    assert "src=" not in text
    assert "default-src 'none'" in text


def test_the_way_there_and_back(project, run, look):
    """Plan, apply and rollback, each with what to do next."""
    before = look(project)
    plan = json.loads(run("plan", project, "--json"))
    assert look(project) == before
    assert {"before", "after", "diff"} <= plan["files"][0].keys()
    assert f"files replaced, plan {plan['id']}" in run("apply")
    named, done = run("apply").splitlines()
    assert f"{plan['id']} of {project}, " in named
    assert f"{sum(len(file['edits']) for file in plan['files'])} edits in {len(plan['files'])} files" in named
    assert done == "Nothing had to be done."
    assert f"files restored, plan {plan['id']}" in run("rollback", plan["id"][:12])
    assert look(project) == before
    assert "there is no applied plan" in run("rollback", code=1)


def test_output_cannot_steer_the_terminal(tmp_path, run):
    """Control characters in files are not printed."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "x.json").write_text('{"a": "\x7f\u009b31mhttp://localhost:11434"}')
    for verb in ("report", "plan"):
        output = run(verb, project)
        assert all(each.isprintable() or each == "\n" for each in output)


def test_a_plan_without_edits_does_not_replace_the_last(tmp_path, project, run):
    """It is told, and what apply takes stays the earlier one."""
    plan = json.loads(run("plan", project, "--json"))
    other = tmp_path / "other"
    other.mkdir()
    output = run("plan", other)
    assert f"nothing to edit in {other}" in output
    assert f"The last plan stays {plan['id']} of {project}" in output
    assert json.loads(run("plan", other, "--json"))["last"] == plan["id"]
    assert f"files replaced, plan {plan['id']}" in run("apply")


def test_report_says_which_of_the_models_named_are_there(tmp_path, run):
    """In homeport's store, in Ollama's folder but damaged, or nowhere, with the command that gets them."""
    project = tmp_path / "project"
    project.mkdir()
    (project / ".env").write_text(
        "OLLAMA_HOST=localhost:11434\nMODEL=phi4\nCHAT_MODEL=odd\nEMBED_MODEL=here:1b\n"
    )
    store = tmp_path / "ollama" / "manifests" / "registry.ollama.ai" / "library" / "odd"
    store.mkdir(parents=True)
    (store / "latest").write_text("{}")
    record = tmp_path / "models" / "names" / "registry.ollama.ai" / "library" / "here" / "1b.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    report = json.loads(run("report", project, "--json", folder=tmp_path / "ollama"))
    assert [(each["path"], each["value"], each["state"]) for each in report["wanted"]] == [
        ("phi4", "not on this machine", "attention"),
        ("odd", "in Ollama's folder", "attention"),
        ("here:1b", "in homeport's store", "ready"),
    ]
    assert "homeport pull phi4" in report["wanted"][0]["reason"]
    assert "The project names 3 models, 2 to look at" in run("report", project)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("plan", "no-such-folder"), "cannot be entered"),
        (("apply",), "there is no plan"),
        (("apply", "../../x"), "there is no plan"),
        (("verify",), "there is no plan"),
        (("plan", ".", "--to", "http://x/path"), "is no address of a server"),
        (("plan", ".", "--to", "frob"), "allowed are http://HOST:PORT"),
    ],
)
def test_wrong_arguments_are_told(run, arguments, told):
    """Each with what is wrong."""
    assert told in run(*arguments, code=1)


def play(raw, answers):
    """Let a server answer as Ollama does; ``answers`` are what it says to chat, the last one for ever."""
    raw.play("GET", "/api/version", [whole({"version": "0.33.3"})])
    raw.play("GET", "/api/tags", [whole({"models": [{"name": "llama3.2:3b"}]})])
    raw.play("GET", "/v1/models", [whole({"object": "list", "data": [{}]})])
    raw.play("POST", "/api/show", [whole({"model_info": {}})])
    told = [ANSWER | {"message": {"role": "assistant", "content": each}} for each in answers]
    raw.play("POST", "/api/chat", *([whole(each)] for each in told))
    raw.play("POST", "/v1/chat/completions", [whole({"choices": [{}]})])


@pytest.fixture
async def other_raw():
    """Another server that plays scripts."""
    async with RawServer.listening() as server:
        yield server


async def in_thread(function, *arguments, **options):
    """Run blocking code while servers answer."""
    return await asyncio.to_thread(function, *arguments, **options)


async def test_verify_looks_at_files_server_and_models(project, run, raw):
    """All is well only when the files are edited and every model that is asked for is there."""
    play(raw, ["Paris"])
    run("plan", project, "--to", raw.url)
    output = await in_thread(run, "verify", code=1)
    assert "was not edited yet" in output
    run("apply")
    found = json.loads(await in_thread(run, "verify", "--json"))
    assert found["ok"]
    assert {"version", "tags", "models", "model llama3.2:3b", "chat"} <= {
        check["name"] for check in found["checks"]
    }


async def test_verify_fails_for_a_model_that_is_missing(tmp_path, run, raw):
    """A model that the project names and homeport has not is a difference, with what mends it."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "app.yaml").write_text("llm:\n  model: mistral\n  base_url: http://localhost:11434\n")
    play(raw, ["Paris"])
    raw.play("POST", "/api/show", [whole({"error": "model 'mistral' not found"}, status=404)])
    run("plan", project, "--to", raw.url)
    run("apply")
    output = await in_thread(run, "verify", code=1)
    assert "FAIL model mistral" in output
    assert "homeport pull mistral" in output


async def test_verify_compares_with_the_old_server(project, run, raw, other_raw):
    """At least 20 prompts; words may differ, and are shown, an error may not."""
    assert len(PROMPTS) >= LEAST_PROMPTS
    play(raw, ["new words"])
    play(other_raw, ["new words", "old words"])
    run("plan", project, "--to", raw.url)
    run("apply")
    found = json.loads(await in_thread(run, "verify", "--old", other_raw.url, "--json"))
    assert len(found["comparisons"]) == len(PROMPTS)
    assert [each["difference"] for each in found["comparisons"][:2]] == ["", "the same for 0 characters"]
    assert "homeport: new words" in await in_thread(run, "verify", "--old", other_raw.url)


async def test_verify_says_who_does_not_answer(project, run, raw, tmp_path):
    """No server, no old server, too few prompts: each is told, nothing hangs."""
    run("plan", project, "--to", "http://127.0.0.1:9")
    output = await in_thread(run, "verify", code=1)
    assert "http://127.0.0.1:9 does not answer /api/version" in output
    play(raw, ["x"])
    output = await in_thread(run, "verify", "--to", raw.url, "--old", "http://127.0.0.1:9", code=1)
    assert "http://127.0.0.1:9 does not answer" in output
    (tmp_path / "few.txt").write_text("one\ntwo\n")
    output = await in_thread(run, "verify", "--to", raw.url, "--prompts", tmp_path / "few.txt", code=1)
    assert "has 2 prompts, needed are 20" in output


@pytest.mark.model
def test_verify_is_content_with_a_live_server(tmp_path, run, starter_server):
    """A project that asks for a model that is there passes every check against a real homeport."""
    project = tmp_path / "project"
    project.mkdir()
    (project / ".env").write_text("OLLAMA_HOST=http://localhost:11434\nOLLAMA_MODEL=smollm2:135m\n")
    run("plan", project, "--to", starter_server.url)
    run("apply")
    found = json.loads(run("verify", "--json"))
    assert found["ok"]
    told = {check["name"]: check["message"] for check in found["checks"]}
    assert "Paris" in told["chat"]
    assert told["model smollm2:135m"] == "is there"
