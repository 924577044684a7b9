import os
import shutil
import signal
import subprocess
import sys

import pytest

from homeport import StoreError
from homeport_ollama.migrate.addresses import Target, Targets
from homeport_ollama.migrate.application import apply, roll_back
from homeport_ollama.migrate.finding import State
from homeport_ollama.migrate.migrations import Migrations, Step
from homeport_ollama.migrate.plan import make_plan, sha256

TARGETS = Targets(Target.parse("http://127.0.0.1:11435"), Target.parse("http://homeport:11434"))
EDITED = 25
"""Files of the project that can be edited; the others speak of Ollama's own server, or of none."""

MORTAL = """
import os, signal, sys
from pathlib import Path
from homeport_ollama.migrate import application
from homeport_ollama.migrate.migrations import Migrations

migrations = Migrations(Path(sys.argv[1]))
TOUCHES = {"open", "os.rename", "os.chmod", "os.chown", "os.utime", "os.remove", "os.mkdir"}

def run(function, left):
    migration = migrations.find(None)

    def count(event, arguments):
        nonlocal left
        if event not in TOUCHES:
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    getattr(application, function)(migration)
    os._exit(0)

for line in sys.stdin:
    function, step = line.split()
    child = os.fork() or run(function, int(step))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Has children that apply or roll back, each of which dies at the touch of the disk that it is told."""
FEW = (".env", "docker-compose.yml", "config/settings.json", "read-only.json")


@pytest.fixture
def migrations(tmp_path):
    """Where plans are kept."""
    return Migrations(tmp_path / "state")


@pytest.fixture
def migration(project, migrations):
    """A plan of the project."""
    return migrations.add(make_plan(project, TARGETS, frozenset()))


@pytest.fixture
def small(project, migrations):
    """A plan of a project with few files, so that every step can be the last one."""
    for path in sorted(project.rglob("*"), reverse=True):
        if not path.is_dir() and path.relative_to(project).as_posix() not in FEW:
            path.unlink()
    return migrations.add(make_plan(project, TARGETS, frozenset()))


@pytest.fixture
def killed(tmp_path):
    """Run a function in a process that is killed at a step; False where it ended before."""
    command = [sys.executable, "-c", MORTAL, str(tmp_path / "state")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as mother:

        def run(function, step):
            mother.stdin.write(f"{function} {step}\n")
            mother.stdin.flush()
            code = int(mother.stdout.readline())
            assert code in {0, -signal.SIGKILL}
            return code != 0

        yield run
        mother.stdin.close()


def test_apply_then_rollback_returns_a_tree_byte_for_byte(project, migration, look):
    """Contents, permissions and times of 31 files are as before; between, exactly the planned ones differ."""
    before = look(project)
    assert apply(migration) == EDITED
    between = look(project)
    changed = {path for path in before if before[path] != between[path]}
    assert changed == {str(project / file.path) for file in migration.plan.files}
    assert all(before[path][:3] == between[path][:3] for path in changed)
    assert set(before) == set(between)
    for file in migration.plan.files:
        assert sha256((project / file.path).read_bytes()) == file.after
    assert roll_back(migration) == EDITED
    assert look(project) == before


def test_a_plan_changes_nothing(project, migration, look):
    """Making one, and making it again, leaves the tree alone and gives the same edits."""
    before = look(project)
    assert make_plan(project, TARGETS, frozenset()).files == migration.plan.files
    assert look(project) == before


def test_only_addresses_change(project, migration, contents):
    """Every edited file is the old one with other addresses: comments, quotes, line ends, bytes all stay."""
    apply(migration)
    for file in migration.plan.files:
        if file.path in contents:
            after = (project / file.path).read_bytes()
            plain = after.replace(b"homeport:11434", b"ollama:11434").replace(b":11435", b":11434")
            given = contents[file.path]
            for host in (b"localhost", b"[::1]"):
                given = given.replace(host + b":11434", b"127.0.0.1:11434")
            for host in (b"localhost", b"[::1]"):
                plain = plain.replace(host + b":11434", b"127.0.0.1:11434")
            assert plain == given, file.path


def test_apply_can_be_repeated(project, migration, look):
    """A second one does nothing, and rollback still knows the first state."""
    before = look(project)
    apply(migration)
    assert apply(migration) == 0
    roll_back(migration)
    assert roll_back(migration) == 0
    assert look(project) == before
    assert apply(migration) == EDITED


def test_a_killed_apply_is_rolled_back_or_completed(project, small, killed, look):
    """At each touch of the disk: nothing is half written, the old state comes back, and so does the new."""
    before = look(project)
    shas = {file.path: {file.before, file.after} for file in small.plan.files}
    step = 1
    while killed("apply", step):
        for path, allowed in shas.items():
            assert sha256((project / path).read_bytes()) in allowed
        if step % 2:
            apply(small)
            assert small.journal.step is Step.APPLIED
        roll_back(small)
        assert look(project) == before, step
        (small.folder / "journal.json").unlink(missing_ok=True)
        step += 1
    assert step > 10 * len(FEW)
    roll_back(small)
    assert look(project) == before


def test_a_killed_rollback_is_completed(project, small, killed, look):
    """At each touch of the disk the next rollback brings the rest back."""
    before = look(project)
    apply(small)
    step = 1
    while killed("roll_back", step):
        roll_back(small)
        assert look(project) == before, step
        apply(small)
        step += 1
    assert step > 8 * len(FEW)
    assert look(project) == before


def test_names_that_no_plan_can_hold_are_left_to_people(project, migrations):
    """A name that is no UTF-8 is told of and not edited; a line end in one begins no line of the diff."""
    (project / os.fsdecode(b"caf\xe9.env")).write_bytes(b"URL=http://localhost:11434\n")
    (project / "a\n+b.env").write_bytes(b"URL=http://localhost:11434\n")
    plan = migrations.add(make_plan(project, TARGETS, frozenset())).plan
    (told,) = [finding for finding in plan.findings if "caf" in finding.path]
    assert (told.path, told.state) == (r"caf\xe9.env", State.ATTENTION)
    assert told.reason == "its name is no UTF-8; change it by hand"
    (planned,) = [file for file in plan.files if file.path == "a\n+b.env"]
    assert planned.diff.splitlines()[:2] == ["--- a/a?+b.env", "+++ b/a?+b.env"]


def test_a_file_that_was_changed_since_the_plan_stops_it_all(project, migration, look):
    """One changed file is named, and no other one is touched."""
    (project / ".env").write_bytes(b"OLLAMA_HOST=http://localhost:11434\nNEW=1\n")
    before = look(project)
    with pytest.raises(StoreError, match=r"\.env was changed since the plan was made"):
        apply(migration)
    assert look(project) == before
    assert migration.journal is None


def test_a_file_that_was_changed_after_it_was_applied_is_kept(project, migration, look):
    """Rollback refuses to throw work away, and does it when told to."""
    apply(migration)
    (project / "pyproject.toml").write_text("[mine]\n")
    changed = look(project)
    with pytest.raises(StoreError, match=r"pyproject\.toml was changed or removed after"):
        roll_back(migration)
    assert look(project) == changed
    (project / ".env").unlink()
    assert roll_back(migration, force=True) == EDITED
    assert b"tool.app" in (project / "pyproject.toml").read_bytes()
    assert (project / ".env").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_was_removed_is_made_anew_when_told_to(project, migration):
    """One folder that is gone stops a rollback before it begins; with force, all files come back."""
    apply(migration)
    shutil.rmtree(project / "config")
    with pytest.raises(StoreError, match=r"the folder of config/\S+ cannot be entered"):
        roll_back(migration)
    assert roll_back(migration, force=True) == EDITED
    assert all(sha256((project / file.path).read_bytes()) == file.before for file in migration.plan.files)


def test_links_that_were_put_in_place_are_refused(tmp_path, project, migration):
    """A file or folder that became a link leads nowhere: nothing outside the project is written."""
    outside = tmp_path / "outside"
    (project / "config").rename(outside)
    (project / "config").symlink_to(outside)
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    with pytest.raises(StoreError, match="the folder of config/"):
        apply(migration)
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before
    (project / "config").unlink()
    outside.rename(project / "config")
    (project / ".env").rename(tmp_path / "elsewhere.env")
    (project / ".env").symlink_to(tmp_path / "elsewhere.env")
    with pytest.raises(StoreError, match=r"\.env cannot be read"):
        apply(migration)


def test_hard_links_are_refused(tmp_path, project, migration):
    """Replacing one name of a file would part it from the others."""
    os.link(project / ".env", tmp_path / "twin")
    with pytest.raises(StoreError, match="one of several hard links"):
        apply(migration)


def test_a_file_that_cannot_be_replaced_leaves_all_as_it_was(project, migration, look):
    """What was staged is taken away again, and the journal says so."""
    paths = [file.path for file in migration.plan.files]
    place = paths.index("k8s/two.yaml")
    (project / "k8s" / f".homeport-{migration.plan.id[-8:]}-{place}").mkdir()
    before = look(project)
    with pytest.raises(StoreError, match=r"k8s/two\.yaml cannot be replaced"):
        apply(migration)
    assert look(project) == before
    assert migration.journal.step is Step.ROLLED_BACK


def test_a_full_disk_leaves_all_as_it_was(tmp_path, project, migration, look):
    """Where backups cannot be written, nothing is begun."""
    before = look(project)
    code = (
        "import resource, sys; from pathlib import Path;"
        "from homeport_ollama.migrate.application import apply;"
        "from homeport_ollama.migrate.migrations import Migrations;"
        "migration = Migrations(Path(sys.argv[1])).find(None);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
        "apply(migration)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "state")], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "cannot be written: File too large" in ran.stderr
    assert look(project) == before
    assert apply(migration) == EDITED


def test_a_damaged_backup_is_not_restored(project, migration, look):
    """Better the edited file than one that never was."""
    apply(migration)
    after = look(project)
    (migration.folder / "backup" / "0").write_bytes(b"something else")
    with pytest.raises(StoreError, match=r"the backup of .* is damaged"):
        roll_back(migration)
    assert look(project) == after


def test_only_one_migration_works_at_a_time(migrations):
    """A second process is told to wait."""
    with (
        migrations.locked(),
        pytest.raises(StoreError, match="another migration is at work"),
        migrations.locked(),
    ):
        pass


def test_backups_and_plans_are_for_the_user_alone(tmp_path, project, migration):
    """They hold what environment files hold."""
    apply(migration)
    for path in (tmp_path / "state" / "migrations").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path.name == ".lock", path
