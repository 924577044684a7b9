import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import sysconfig
import threading
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from homeport import BuildReport
from homeport.cli.checks.machine import memory_limit
from homeport.models.build_recipe import source_of
from homeport.models.build_record import BuildRecord
from homeport.models.manifest import ModelFile
from homeport.models.store import ModelStore

BACKEND_PLUGINS = ("echo", "onnx-cpu", "transformers-cpu", "remote", "ollama-legacy")


def findings_of(done):
    return {entry["check"]: entry for entry in json.loads(done.stdout)["findings"]}


def test_a_healthy_machine_passes(echo_homeport):
    """Where nothing failed, the exit code says so, and what could be better has a fix."""
    done = echo_homeport("doctor", "--json")
    found = findings_of(done)
    assert done.returncode == 0
    assert {
        "python",
        "packages",
        "torch",
        "onnxruntime",
        "pip",
        "instructions",
        "cores",
        "memory",
        "disk",
        "models",
    } <= {*found}
    assert found["starter model"]["fix"] == "homeport pull smollm2:135m"
    assert "is free" in found["port"]["detail"]
    assert all(entry["fix"] for entry in found.values() if entry["state"] != "ok")


def test_the_findings_are_lines_without_colour_codes_when_piped(echo_homeport):
    """What is not a terminal gets plain text, one finding a line."""
    lines = echo_homeport("doctor").stdout.splitlines()
    assert any(line.startswith("ok ") and "python" in line for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_a_foreign_server_on_the_port_is_a_failure(echo_homeport, free_port):
    """Something that does not speak our API is named, with a way out."""
    with socket.create_server(("127.0.0.1", free_port)) as foreign:
        foreign.settimeout(30)
        done = echo_homeport_beside(foreign, echo_homeport)
    assert done.returncode == 1
    finding = findings_of(done)["server"]
    assert finding["state"] == "failed"
    assert finding["fix"]


def echo_homeport_beside(foreign, echo_homeport):
    """Run the doctor while somebody answers every connection with nonsense."""

    def answer():
        connection, _ = foreign.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"220 mail.example.org ESMTP\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    done = echo_homeport("doctor", "--json")
    thread.join()
    return done


def test_a_broken_plugin_fails_the_check(echo_homeport, tmp_path):
    """A plugin that does not import is named with its distribution and how to leave it out."""
    (tmp_path / "site" / "echo_plugin.py").write_text("1 / 0\n")
    done = echo_homeport("doctor", "--json")
    assert done.returncode == 1
    found = findings_of(done)
    assert "parrot-echo 1.5: ZeroDivisionError" in found["plugin echo"]["detail"]
    assert "-p no:echo" in found["plugin echo"]["fix"]
    assert found["backends"]["state"] == "failed"


def test_blocked_plugins_are_named_where_no_backend_is_left(echo_homeport):
    """What was only switched off need not be installed."""
    blocked = [flag for name in BACKEND_PLUGINS for flag in ("-p", f"no:{name}")]
    found = findings_of(echo_homeport(*blocked, "doctor", "--json"))["backends"]
    assert found["state"] == "failed"
    assert found["fix"].startswith("Unblock")
    for name in BACKEND_PLUGINS:
        assert name in found["fix"]


def test_unreadable_settings_do_not_stop_the_doctor(echo_homeport):
    """What can be looked at without settings is still looked at."""
    done = echo_homeport("doctor", "--json", OLLAMA_NUM_PARALLEL="many")
    assert done.returncode == 1
    found = findings_of(done)
    assert "expected int, got 'many'" in found["settings"]["detail"]
    assert "python" in found


@pytest.mark.parametrize(("text", "limit"), [("max\n", None), ("4294967296\n", 2**32)])
def test_a_memory_limit_is_read_in_bytes(tmp_path, text, limit):
    """The word max is no limit."""
    file = tmp_path / "memory.max"
    file.write_text(text)
    assert memory_limit(file) == limit


def test_a_damaged_model_is_listed(echo_homeport, damaged_model):
    """A file of the right size with one flipped byte fails the check, with the command that mends it."""
    done = echo_homeport("doctor", "--json")
    assert done.returncode == 1
    finding = findings_of(done)["models"]
    assert finding["detail"].startswith(f"{damaged_model}: ")
    assert "tokenizer.json" in finding["detail"]
    assert finding["fix"] == f"homeport pull {damaged_model} --force"


def test_whole_models_are_verified(echo_homeport, home, install_tiny):
    """What was hashed is told with its size and time."""
    install_tiny(ModelStore(home / "models"))
    done = echo_homeport("doctor", "--json")
    assert done.returncode == 0
    detail = findings_of(done)["models"]["detail"]
    assert re.fullmatch(r"1 installed in .*, [\d.]+ .B verified in [\d.]+ s", detail)


@pytest.fixture
def built(home, tiny_model):
    """A build of the tiny model."""
    files = tiny_model.manifest.files
    store, content = ModelStore(home / "models"), b"built"
    record = BuildRecord(
        key="ab" * 32,
        source=source_of(files),
        backend="etched",
        builder="etched:Etcher",
        builder_version=1,
        report=BuildReport(weights="int8"),
        files=(ModelFile(path="b.bin", size=len(content), sha256=hashlib.sha256(content).hexdigest()),),
    )
    with store.staging() as folder:
        (folder / "build").mkdir()
        (folder / "build" / "b.bin").write_bytes(content)
        return store.place_build(folder / "build", record)


def test_builds_are_verified(echo_homeport, built):
    """They are hashed where models are; without any there is nothing to tell."""
    found = findings_of(echo_homeport("doctor", "--json"))["builds"]
    assert found["detail"].startswith(f"1 beside the models, {built.size_bytes} B verified")


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"rotte", "tiny:latest, etched: build abab"), (b"longer", "tiny:latest, etched: build abab")],
)
def test_a_damaged_build_is_a_warning(echo_homeport, built, content, told):
    """It mends itself: the load that finds it makes another one."""
    (built.folder / "b.bin").write_bytes(content)
    done = echo_homeport("doctor", "--json")
    finding = findings_of(done)["builds"]
    assert (done.returncode, finding["state"]) == (0, "warning")
    assert finding["detail"].startswith(told)
    assert "made anew" in finding["fix"]


def test_a_build_whose_record_is_damaged_is_told_by_its_key(echo_homeport, built):
    """Nothing else tells of which model it was."""
    (built.folder / "build.json").write_text("{")
    finding = findings_of(echo_homeport("doctor", "--json"))["builds"]
    assert finding["state"] == "warning"
    assert finding["detail"].startswith(
        f"a model that cannot be told, for the record is damaged too: build {built.record.key}"
    )


CHECKED_PLUGIN = """
import attrs

from homeport import BackendKind, BackendSpec, Finding, hookimpl


@attrs.frozen(kw_only=True)
class EchoConfig:
    wheels: int = 2


def findings(config):
    yield Finding(True, f"{config.wheels} wheels turn")
    if config.wheels < 4:
        yield Finding(False, "it may topple", hint="Add wheels")


def nonsense(config):
    return ["all is well"]


def broken(config):
    raise ValueError("no wheel at all")


def stuck(config):
    return [Finding(False, "all wheels are off", hint="Put wheels on", usable=False)]


def off(config):
    return [Finding(True, "off: it has no road", usable=False)]


def silent(config):
    return [Finding(False, "it squeaks")]


class Plugin:
    @hookimpl
    def homeport_backends(self):
        return [
            BackendSpec(
                name="echo",
                kind=BackendKind.REMOTE,
                factory="homeport.testing.echo:EchoBackend",
                check="echo_plugin:CHECK",
                config=EchoConfig,
            )
        ]


plugin = Plugin()
"""


@pytest.fixture
def backend_findings(echo_homeport, tmp_path):
    """Run the doctor beside a backend with a check: gives the exit code, and what is said of the backend."""

    def run(check, settings=""):
        (tmp_path / "site" / "echo_plugin.py").write_text(CHECKED_PLUGIN.replace("CHECK", check))
        (tmp_path / "homeport.toml").write_text(settings)
        done = echo_homeport("doctor", "--json", HOMEPORT_CONFIG=str(tmp_path / "homeport.toml"))
        entries = json.loads(done.stdout)["findings"]
        run.usable = next(entry for entry in entries if entry["check"] == "backends")
        return done.returncode, [entry for entry in entries if entry["check"] == "backend echo"]

    return run


def test_a_backend_says_how_well_it_can_work_here(backend_findings):
    """What its check finds is told, and what is not well is a warning with the backend's own hint."""
    code, (seen, topple) = backend_findings("findings")
    assert code == 0
    assert (seen["state"], seen["detail"]) == ("ok", "2 wheels turn")
    assert (topple["state"], topple["detail"], topple["fix"]) == ("warning", "it may topple", "Add wheels")


def test_a_backend_that_can_serve_nothing_is_a_failure(backend_findings):
    """It is not called usable, and where no other is, the way to mend it is named."""
    code, (finding,) = backend_findings("stuck")
    assert code == 1
    assert (finding["state"], finding["fix"]) == ("failed", "Put wheels on")
    assert backend_findings.usable["state"] == "failed"
    assert backend_findings.usable["fix"] == "See what is said of backend echo"


def test_a_backend_that_is_switched_off_is_not_called_usable(backend_findings):
    """Nothing about it is to be mended."""
    _, (finding,) = backend_findings("off")
    assert (finding["state"], finding["detail"]) == ("ok", "off: it has no road")
    assert backend_findings.usable["detail"] == "none is usable, so no model can run"


def test_a_check_knows_the_settings_of_its_backend(backend_findings):
    """It is called as the factory would be."""
    _, found = backend_findings("findings", "[plugins.echo]\nwheels = 4\n")
    assert [entry["detail"] for entry in found] == ["4 wheels turn"]


@pytest.mark.parametrize(
    ("check", "cause"),
    [
        ("broken", "ValueError: no wheel at all"),
        ("nonsense", "it returned 'all is well', not a Finding"),
        ("silent", "finding 'it squeaks' is not ok and has no hint"),
        ("absent", "cannot import 'echo_plugin:absent'"),
    ],
)
def test_a_check_that_fails_is_named_with_its_distribution(backend_findings, check, cause):
    """A mistake of a plugin author stops neither the doctor nor hides."""
    code, (finding,) = backend_findings(check)
    assert code == 1
    assert finding["state"] == "failed"
    assert cause in finding["detail"]
    assert "parrot-echo 1.5" in finding["detail"]
    assert "-p no:echo" in finding["fix"]


def test_wrong_settings_of_a_backend_are_told_before_its_check(backend_findings):
    """A check never sees settings that cannot be."""
    code, (finding,) = backend_findings("findings", '[plugins.echo]\nwheels = "many"\n')
    assert code == 1
    assert "$.plugins.echo.wheels" in finding["detail"]


def doctor_without(environment, tmp_path, *distributions):
    """Run the doctor where some distributions are not installed, all others are."""
    return findings_of(run_without(environment, tmp_path, "doctor", *distributions))


def run_without(environment, tmp_path, verb, *distributions):
    """Run a verb for JSON where some distributions are not installed, all others are."""
    installed = Path(sysconfig.get_path("purelib"))
    site = tmp_path / "fewer"
    site.mkdir(exist_ok=True)
    absent = re.compile(rf"({'|'.join(distributions)})(-[\d.+a-z]+\.dist-info)?")
    for path in installed.iterdir():
        if not absent.fullmatch(path.name) and not (site / path.name).is_symlink():
            (site / path.name).symlink_to(path)
    sources = {Path(find_spec(name).origin).parents[1] for name in ("homeport", "homeport_onnx")}
    paths = [site, *sorted(sources - {installed})]
    return subprocess.run(
        [sys.executable, "-S", "-m", "homeport", verb, "--json"],
        env={**environment, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_versions_of_onnxruntime_and_onnx_are_told(homeport):
    """Both are named where both are installed."""
    found = findings_of(homeport("doctor", "--json"))["onnxruntime"]
    assert found["state"] == "ok"
    assert found["detail"] == f"{version('onnxruntime')}, with onnx {version('onnx')}"


def test_without_torch_nothing_is_wrong_where_onnxruntime_is(environment, tmp_path):
    """The light install is a whole one."""
    found = doctor_without(environment, tmp_path, "torch", "transformers")
    assert found["torch"]["state"] == "ok"
    assert "onnx-cpu" in found["torch"]["detail"]
    assert "onnx-cpu" in found["backends"]["detail"]
    unused = found["plugin transformers-cpu"]
    assert unused["state"] == found["plugins"]["state"] == "ok"
    assert "unused" in unused["detail"]
    assert "onnx-cpu serves in its place" in unused["detail"]
    listed = json.loads(run_without(environment, tmp_path, "plugins", "torch", "transformers").stdout)
    (plugin,) = (each for each in listed["plugins"] if each["name"] == "transformers-cpu")
    assert plugin["status"] == "unused"


def test_without_onnxruntime_nothing_is_wrong_where_torch_is(environment, tmp_path):
    """Who has the other backend is not urged to install this one."""
    found = doctor_without(environment, tmp_path, "onnxruntime")
    assert (found["torch"]["state"], found["onnxruntime"]["state"]) == ("ok", "ok")
    assert "transformers-cpu" in found["onnxruntime"]["detail"]


def test_without_onnx_models_cannot_be_written(environment, tmp_path):
    """onnxruntime alone is half of what the backend needs."""
    found = doctor_without(environment, tmp_path, "onnx")["onnxruntime"]
    assert (found["state"], found["fix"]) == ("warning", "pip install 'homeport[onnx]'")


def test_where_no_model_can_run_both_ways_are_named(environment, tmp_path):
    """The light way stands beside the other one."""
    found = doctor_without(environment, tmp_path, "torch", "transformers", "onnxruntime")
    assert found["torch"]["state"] == "warning"
    assert found["backends"]["state"] == "failed"
    for check in ("torch", "backends"):
        assert "'homeport[onnx]'" in found[check]["fix"]
        assert "'homeport[transformers]'" in found[check]["fix"]
