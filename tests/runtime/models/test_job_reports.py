"""What a job tells of its failure."""

import io

import pytest

from homeport.domain.errors import LoadError, PluginError, PullError
from homeport.models.job_reports import JobReport, Reporter, Stage
from homeport.models.records import decode_record


def reported(error: Exception, cause: Exception | None = None) -> JobReport:
    """Give the report of a failure, as the host reads it."""
    stream = io.BytesIO()
    error.__cause__ = cause
    Reporter(stream, JobReport).failure(error, "building failed")
    return decode_record(JobReport, stream.getvalue())


def test_a_cause_that_says_the_same_is_not_told_twice():
    """The log would have one text two times in a line."""
    assert reported(PullError("no weights here"), LoadError("no weights here")).cause == ""
    told = reported(PullError("no weights here"), OSError("/secret is gone"))
    assert (told.message, told.cause, told.is_fault) == (
        "no weights here",
        "OSError('/secret is gone')",
        False,
    )


@pytest.mark.parametrize(
    ("error", "has_traceback"),
    [(LoadError("/secret is torn"), False), (PluginError("/secret"), True), (KeyError("/secret"), True)],
)
def test_only_the_unexpected_has_a_traceback(error, has_traceback):
    """An error raised on purpose is one line of the log; none of them is for whoever asked."""
    report = reported(error)
    kind = type(error).__name__
    assert (report.stage, report.message, report.is_fault) == (Stage.FAILED, f"building failed: {kind}", True)
    assert "/secret" in report.cause
    assert ("\n" in report.cause) is has_traceback
