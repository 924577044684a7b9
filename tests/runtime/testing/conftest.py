"""Runs a conformance kit against an object under test, in a pytest of its own."""

import pytest

OPTIONS = (
    *("-q", "-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function"),
    # Only what the kit asks for: loading hypothesis anew takes 0.6 s each time.
    *("--disable-plugin-autoload", "-p", "pytest_asyncio.plugin"),
)


class Subject:
    """Hands the object under test to the inner pytest."""

    def __init__(self, make):
        self._make = make

    @pytest.fixture
    def make_subject(self):
        return self._make


@pytest.fixture
def failures(pytester):
    """Run a test file that uses the fixture ``make_subject``, whole or one test, and name what fails."""

    def run(code, make, only=""):
        path = pytester.makepyfile(code)
        recorder = pytester.inline_run(path, *OPTIONS, "-k", only, plugins=[Subject(make)])
        passed, _, failed = recorder.listoutcomes()
        assert passed or failed, "the kit did not run"
        return {report.nodeid.rpartition("::")[2].partition("[")[0] for report in failed}

    return run
