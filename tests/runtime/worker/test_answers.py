import pytest

from homeport import InvalidRequestError, PromptAccepted, TextDelta, WorkerDiedError
from homeport.domain.errors import GenerationError
from homeport.worker.answers import Answers
from homeport.worker.channel import event_message, event_of, failure_message

HELLO = TextDelta("hello")


@pytest.fixture
async def answers():
    """Answers of a worker that is said to have died when nothing comes any more."""
    return Answers(lambda: WorkerDiedError("gone"))


async def test_each_request_reads_its_own_answers_in_order(answers):
    """However the answers to several requests mix."""
    told = PromptAccepted(3)
    with answers.expect("a"), answers.expect("b"):
        answers.put(event_message("b", told))
        answers.put(event_message("a", HELLO))
        answers.put(event_message("b", HELLO))
        assert event_of(await answers.next("a")) == HELLO
        assert [event_of(await answers.next("b")) for _ in range(2)] == [told, HELLO]


async def test_answer_to_nobody_is_dropped(answers):
    """What was told to a request that left is not read by the next of its id."""
    with answers.expect("a"):
        answers.put(event_message("a", HELLO))
    answers.put(event_message("a", HELLO))
    with answers.expect("a"):
        answers.put(event_message("a", TextDelta("new")))
        assert event_of(await answers.next("a")) == TextDelta("new")


async def test_id_is_expected_once_at_a_time(answers):
    """The second of an id is refused, and the first is not disturbed."""
    with answers.expect("a"):
        with pytest.raises(InvalidRequestError, match="'a' is running already"), answers.expect("a"):
            pass
        answers.put(event_message("a", HELLO))
        assert event_of(await answers.next("a")) == HELLO


async def test_failure_is_raised(answers):
    """What the engine reported becomes the error it was."""
    with answers.expect("a"):
        answers.put(failure_message("a", GenerationError("no")))
        with pytest.raises(GenerationError, match="no"):
            await answers.next("a")


async def test_end_is_told_to_all(answers):
    """Behind what was told before, and to those that come later at once."""
    with answers.expect("a"):
        answers.put(event_message("a", HELLO))
        answers.end()
        assert event_of(await answers.next("a")) == HELLO
        with pytest.raises(WorkerDiedError, match="gone"):
            await answers.next("a")
    assert answers.ended.is_set()
    with pytest.raises(WorkerDiedError, match="gone"), answers.expect("b"):
        pass
