from homeport.cli.answers import PullProgress
from homeport.cli.pull_display import LineDisplay


def shown(*steps):
    lines = []
    display = LineDisplay(lines.append)
    for step in steps:
        display(PullProgress.from_wire(step))
    return "".join(lines).splitlines()


def test_a_status_is_written_once():
    """A repeated status is news only once."""
    assert shown({"status": "a"}, {"status": "a"}, {"status": "b"}) == ["a", "b"]


def test_a_file_takes_at_most_eleven_lines():
    """However many steps a download has, a log gets a line per tenth."""
    steps = [
        {"status": "pulling ab", "digest": "sha256:ab", "total": 1000_000, "completed": done}
        for done in range(0, 1000_001, 1000)
    ]
    lines = shown({"status": "pulling manifest"}, *steps, {"status": "success"})
    assert lines[:3] == ["pulling manifest", "pulling ab", "  10% of 1 MB"]
    assert lines[-2:] == ["  100% of 1 MB", "success"]
    assert len(lines) == 13


def test_a_status_cannot_steer_the_terminal():
    """What a server says is stripped of escapes."""
    assert shown({"status": "pull\x1b[2Jing"}) == ["pull[2Jing"]
