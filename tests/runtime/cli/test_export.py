import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from homeport.cli.export_folder import ExportFolder
from homeport.models.store import ModelStore

BUILDER_PLUGIN = """
import os
import signal
from pathlib import Path

from homeport import BackendKind, BackendSpec, BuildReport, PullError, hookimpl


class Etcher:
    version = 1

    def build(self, source, into, plan, progress):
        words = [plan.quantisation.value, str(plan.group), str(plan.is_portable), plan.exporter or "itself"]
        (into / "model.etched").write_text(" ".join(words))
        progress(50, 100)
        Path(os.environ.get("ETCHING", os.devnull)).write_text("etching")
        if "ETCHING" in os.environ:
            signal.pause()
        if plan.group == 128:
            raise PullError("top-1 agreement is 12.0 %, expected at least 50.0 %", hint="use --quant int8")
        progress(100, 100)
        figures = {"tokens": 8, "top1_agreement": 0.955, "mean_kl_divergence": 0.0036}
        return BuildReport(weights="int8", note="it was asked for", bits_per_weight=8.53, figures=figures)


class Plugin:
    @hookimpl
    def homeport_backends(self):
        factory = "homeport.testing.tiny_model:ChecksumModel"
        local = BackendKind.LOCAL
        yield BackendSpec(name="checksum", kind=local, factory=factory)
        yield BackendSpec(name="etched", kind=local, factory=factory, builder="echo_plugin:Etcher")
        yield BackendSpec(
            name="engraved", kind=local, factory=factory, builder="echo_plugin:Etcher",
            requires=("no-such-library>=3",), extra="engraving",
        )


plugin = Plugin()
"""
RECORD = "homeport_export.json"
START_TIMEOUT_SECONDS = 30


@pytest.fixture
def etching(tiny_model, tmp_path):
    """An installed model, and a backend that builds."""
    (tmp_path / "site" / "echo_plugin.py").write_text(BUILDER_PLUGIN)
    return tiny_model


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_model_becomes_a_folder(echo_homeport, etching, tmp_path):
    """The folder has the build, the model's own files but weights, and a record of what was made of what."""
    done = echo_homeport("export", "tiny", "--to", str(tmp_path / "new" / "out"), "--backend", "etched")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "new" / "out"
    assert (out / "model.etched").read_text() == "auto None True itself"
    assert (out / "tokenizer.json").read_bytes() == (etching.folder / "tokenizer.json").read_bytes()
    record = json.loads((out / RECORD).read_text())
    assert (record["model"], record["digest"], record["backend"]) == ("tiny:latest", etching.digest, "etched")
    assert record["figures"]["top1_agreement"] == 0.955
    assert names(out.parent) == ["out"]


def test_the_end_tells_where_what_and_how_well(echo_homeport, etching, tmp_path):
    """Place, size, weights and the figures of the check are the answer; progress goes to standard error."""
    done = echo_homeport("export", "tiny", "--to", str(tmp_path / "out"), "--backend", "etched")
    first, size, *rest = done.stdout.splitlines()
    assert first == f"tiny:latest is in {tmp_path / 'out'}"
    assert size.split()[0] == "size"
    assert rest == [
        "  weights          int8 (it was asked for)",
        "  bits per weight  8.53",
        "  checked on       8 tokens",
        "  top-1 agreement  95.5 %",
        "  mean KL          0.0036 nats",
    ]
    assert "building for etched" in done.stderr


def test_programs_get_steps_as_lines(echo_homeport, etching, tmp_path):
    """Each line is JSON; the last one has what people are told."""
    done = echo_homeport("export", "tiny", "--to", str(tmp_path / "out"), "--backend", "etched", "--json")
    *steps, last = map(json.loads, done.stdout.splitlines())
    assert {"status": "building for etched", "total": 100, "completed": 100} in steps
    size = sum(len(content) for content in contents(tmp_path / "out").values())
    assert last == {
        "status": "success",
        "model": "tiny:latest",
        "folder": str(tmp_path / "out"),
        "size": size,
        "weights": "int8",
        "weights_note": "it was asked for",
        "bits_per_weight": 8.53,
        "figures": {"tokens": 8.0, "top1_agreement": 0.955, "mean_kl_divergence": 0.0036},
    }


def test_what_is_wanted_reaches_the_builder(echo_homeport, etching, tmp_path):
    """Quantisation, group and another exporter are handed on, from the verb within ``models`` too."""
    wish = ("--quant", "int4", "--group", "64", "--with", "optimum", "--backend", "etched")
    done = echo_homeport("models", "export", "tiny", "--to", str(tmp_path / "out"), *wish)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model.etched").read_text() == "int4 64 True optimum"


def test_the_folder_is_nobody_elses(echo_homeport, etching, tmp_path):
    """Editing an export in place changes no model, and others may read it as the user's mask says."""
    out = tmp_path / "out"
    assert echo_homeport("export", "tiny", "--to", str(out), "--backend", "etched").returncode == 0
    with (out / "tokenizer.json").open("a") as file:
        file.write(" ")
    ModelStore(etching.folder.parents[1]).verify(etching)
    mask = os.umask(0)
    os.umask(mask)
    assert out.stat().st_mode & 0o777 == 0o777 & ~mask
    assert (out / RECORD).stat().st_mode & 0o777 == 0o666 & ~mask


def test_an_export_is_replaced_when_asked(echo_homeport, etching, tmp_path):
    """Without --force the first export stays as it is, with it the second takes its place."""
    order = ("export", "tiny", "--to", str(tmp_path / "out"), "--backend", "etched", "--quant")
    assert echo_homeport(*order, "int8").returncode == 0
    before = contents(tmp_path / "out")
    refused = echo_homeport(*order, "fp32")
    assert (refused.returncode, contents(tmp_path / "out")) == (1, before)
    assert f"{tmp_path / 'out'} holds an export already" in refused.stderr
    assert "--force" in refused.stderr
    assert echo_homeport(*order, "fp32", "--force").returncode == 0
    assert (tmp_path / "out" / "model.etched").read_text().startswith("fp32")
    assert [name for name in names(tmp_path) if "out" in name] == ["out"]


@pytest.mark.parametrize("with_record", [False, True])
def test_files_of_others_are_never_replaced(echo_homeport, etching, tmp_path, with_record):
    """--force spares a folder that no export made, and one that somebody put a file into."""
    out = tmp_path / "out"
    order = ("export", "tiny", "--to", str(out), "--backend", "etched", "--force")
    if with_record:
        assert echo_homeport(*order).returncode == 0
    else:
        out.mkdir()
    (out / "diary.txt").write_text("dear diary")
    before = contents(out)
    done = echo_homeport(*order)
    assert (done.returncode, contents(out)) == (1, before)
    assert "holds what no export wrote: diary.txt" in done.stderr


def test_an_empty_folder_is_filled(echo_homeport, etching, tmp_path):
    """A folder that was made for it is as good as none."""
    (tmp_path / "out").mkdir()
    done = echo_homeport("export", "tiny", "--to", str(tmp_path / "out"), "--backend", "etched")
    assert done.returncode == 0, done.stderr


def test_a_build_that_fails_leaves_nothing(echo_homeport, etching, tmp_path):
    """The figures that were too bad are told, and neither folder nor remains are there."""
    before = names(tmp_path)
    order = ("export", "tiny", "--to", str(tmp_path / "out"), "--backend", "etched", "--group", "128")
    done = echo_homeport(*order)
    assert done.returncode == 1
    assert "top-1 agreement is 12.0 %" in done.stderr
    assert "use --quant int8" in done.stderr
    assert names(tmp_path) == before


def test_an_interrupt_ends_the_build_and_leaves_nothing(echo_environment, etching, tmp_path):
    """Ctrl-C kills the building process, removes what it wrote, and exits 130."""
    with export_at_work(echo_environment, tmp_path) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=START_TIMEOUT_SECONDS)
    assert process.returncode == 130
    assert [name for name in names(tmp_path) if "out" in name] == []


@contextmanager
def export_at_work(environment, tmp_path):
    """An export of the tiny model whose builder waits."""
    sign = tmp_path / "sign"
    sign.unlink(missing_ok=True)
    os.mkfifo(sign)
    command = ["export", "tiny", "--to", str(tmp_path / "out"), "--backend", "etched"]
    process = subprocess.Popen(
        [sys.executable, "-m", "homeport", *command],
        env={**environment, "ETCHING": str(sign)},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert sign.read_text() == "etching"
        yield process


@pytest.mark.usefixtures("etching")
def test_the_next_export_removes_what_a_killed_one_left(echo_environment, echo_homeport, tmp_path):
    """An export that is still at work keeps its folder, and so do exports to other places."""
    order = ("export", "tiny", "--to", str(tmp_path / "out"), "--backend", "etched")
    with export_at_work(echo_environment, tmp_path) as killed:
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.glob(".out.unfinished-*")
    (tmp_path / ".out-2.unfinished-abc").mkdir()
    with export_at_work(echo_environment, tmp_path) as other:
        assert not left.exists()
        (at_work,) = tmp_path.glob(".out.unfinished-*")
        assert echo_homeport(*order).returncode == 0
        assert [path.name for path in tmp_path.glob(".out.unfinished-*")] == [at_work.name]
        other.send_signal(signal.SIGINT)
        other.communicate(timeout=START_TIMEOUT_SECONDS)
    assert [name for name in names(tmp_path) if "out" in name] == [".out-2.unfinished-abc", "out"]


def test_exports_that_begin_at_once_keep_their_folders(tmp_path):
    """None takes the folder that another one has just made for what a killed one left."""

    def begin(_):
        with ExportFolder(tmp_path / "out", replaces=False).unfinished() as folder:
            return folder.is_dir()

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(begin, range(400)))
    finally:
        sys.setswitchinterval(usual)
    assert names(tmp_path) == []


@pytest.mark.usefixtures("etching")
def test_an_export_that_was_put_aside_goes_when_another_stands_there(echo_homeport, tmp_path):
    """It may be the only whole one until then."""
    aside = tmp_path / ".out.unfinished-abc.before"
    aside.mkdir()
    order = ("export", "tiny", "--to", str(tmp_path / "out"), "--backend", "etched", "--force")
    assert echo_homeport(*order).returncode == 0
    assert aside.is_dir()
    assert echo_homeport(*order).returncode == 0
    assert not aside.exists()


def test_a_damaged_model_is_not_exported(echo_homeport, damaged_model, tmp_path):
    """What differs from its manifest is named, with the command that mends it."""
    (tmp_path / "site" / "echo_plugin.py").write_text(BUILDER_PLUGIN)
    done = echo_homeport("export", damaged_model, "--to", str(tmp_path / "out"), "--backend", "etched")
    assert done.returncode == 1
    assert "sha256 of tokenizer.json" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["nothing-like-it"], 1, ["model 'nothing-like-it' not found", "homeport pull nothing-like-it"]),
        (["../tiny"], 1, ["invalid model name"]),
        (["tiny", "--backend", "nope"], 1, ["'nope' is not known", "etched", "homeport[onnx]"]),
        (["tiny", "--backend", "checksum"], 1, ["'checksum' builds no models", "etched"]),
        (
            ["tiny", "--backend", "engraved"],
            1,
            ["'engraved' needs no-such-library>=3", "pip install 'homeport[engraving]'"],
        ),
        (["tiny", "--quant", "int3"], 2, ["'int3' is not one of"]),
        (["tiny", "--group", "48"], 2, ["'48' is not one of"]),
        (["tiny", "--with", "torch"], 2, ["'torch' is not"]),
        ([], 2, ["Missing argument 'MODEL'"]),
    ],
)
@pytest.mark.usefixtures("etching")
def test_what_cannot_be_exported_is_told_with_a_way_out(echo_homeport, tmp_path, arguments, code, told):
    """Nothing is made, and the message names the value and what to do."""
    done = echo_homeport("export", *arguments, "--to", str(tmp_path / "out"))
    assert done.returncode == code
    assert all(text in done.stderr for text in told), done.stderr
    assert not (tmp_path / "out").exists()


def test_the_preferred_backend_builds_where_it_can(echo_homeport, etching, tmp_path):
    """Without --backend the setting decides."""
    done = echo_homeport("export", "tiny", "--to", str(tmp_path / "out"), HOMEPORT_MODELS_BACKEND="etched")
    assert json.loads((tmp_path / "out" / RECORD).read_text())["backend"] == "etched", done.stderr


def test_without_a_builder_the_light_extra_is_named(echo_homeport, tiny_model, tmp_path):
    """Who has no backend that builds is told how to get one."""
    done = echo_homeport("export", tiny_model.name.display, "--to", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "pip install 'homeport[onnx]'" in done.stderr


@pytest.mark.parametrize("place", ["file", "file/below", "."])
def test_a_place_that_can_be_no_folder_is_refused(echo_homeport, etching, tmp_path, place, monkeypatch):
    """A file in the way and the folder one stands in are named before anything is built."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    (tmp_path / "file").write_text("x")
    to = "." if place == "." else str(tmp_path / place)
    done = echo_homeport("export", "tiny", "--to", to, "--backend", "etched")
    assert done.returncode == 1
    assert "building" not in done.stderr
    assert str(tmp_path) in done.stderr


def test_the_shell_completes_installed_models_without_a_server(echo_homeport, etching):
    """Names come from the store."""
    done = echo_homeport(_HOMEPORT_COMPLETE="bash_complete", COMP_WORDS="homeport export ti", COMP_CWORD="2")
    assert (done.stdout.split(), done.stderr) == (["plain,tiny:latest"], "")


@pytest.mark.model
@pytest.mark.slow
def test_the_starter_model_becomes_onnx(homeport, environment, home, starter_home, tmp_path):
    """A real export has a graph, weights beside it, what onnxruntime-genai reads, and good figures."""
    shutil.copytree(starter_home / "models", home / "models")
    order = ("export", "smollm2:135m", "--to", str(tmp_path / "out"), "--backend", "onnx-cpu", "--json")
    done = homeport(*order, HOMEPORT_MODELS_THREADS="1")
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["figures"]["top1_agreement"] > 0.9
    assert {
        "model.onnx",
        "model.onnx.data",
        "genai_config.json",
        "chat_template.jinja",
        "tokenizer.json",
    } <= {*names(tmp_path / "out")}
    assert not list(Path(tmp_path / "out").rglob("*.safetensors"))
