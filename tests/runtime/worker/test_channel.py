import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport import (
    ChatPrompt,
    ContextOverflowError,
    Finished,
    FinishReason,
    GenerationError,
    GenerationRequest,
    HomeportError,
    Message,
    OverloadedError,
    PluginError,
    Priority,
    PromptAccepted,
    Role,
    Sampling,
    StoreError,
    TextDelta,
    TextPrompt,
    TokenLogprob,
    TokenPrompt,
    Usage,
)
from homeport.worker import channel

PROMPTS = st.one_of(
    st.builds(TextPrompt, st.text()),
    st.builds(TokenPrompt, st.lists(st.integers(0, 1000)).map(tuple)),
    st.builds(
        ChatPrompt, st.lists(st.builds(Message, st.sampled_from(Role), st.text())).map(tuple), st.just((1, 2))
    ),
)
EVENTS = st.one_of(
    st.builds(PromptAccepted, st.integers(0, 10), st.booleans()),
    st.builds(TextDelta, st.text(), st.just((TokenLogprob("a", -0.5, (("b", -1.0),)),))),
    st.builds(Finished, st.sampled_from(FinishReason), st.just(Usage(prompt_tokens=3)), st.just((4, 5))),
)


@given(PROMPTS)
def test_request_survives_the_channel(prompt):
    """A worker sees the request that the host sent."""
    request = GenerationRequest(
        id="r",
        model="",
        prompt=prompt,
        sampling=Sampling(seed=3, stop=("x",)),
        priority=Priority.LOW,
        owner="k",
        begun="so far",
    )
    payload = channel.frame(channel.generate_message(request))[channel.LENGTH_BYTES :]
    assert channel.request_of(channel.to_worker_decoder.decode(payload)) == request


@given(EVENTS)
def test_event_survives_the_channel(event):
    """The host sees the event that the engine told."""
    payload = channel.frame(channel.event_message("r", event))[channel.LENGTH_BYTES :]
    assert channel.event_of(channel.from_worker_decoder.decode(payload)) == event


@pytest.mark.parametrize(
    "error",
    [
        ContextOverflowError("too long", field="prompt"),
        StoreError("damaged", hint="pull again"),
        PluginError("no such module"),
        GenerationError("broke"),
        OverloadedError("the threads are busy"),
    ],
)
def test_error_keeps_class_message_hint_and_field(error):
    """An error raised in a worker is the same error in the host."""
    back = channel.error_of(channel.failure_message("r", error))
    assert (type(back), back.message, back.hint) == (type(error), error.message, error.hint)
    assert getattr(back, "field", None) == getattr(error, "field", None)


def test_unknown_error_code_is_a_failed_generation():
    """A worker of another version cannot confuse the host."""
    assert isinstance(channel.error_of(channel.Failure("r", "new", "text", None, None)), GenerationError)
    assert issubclass(GenerationError, HomeportError)


def test_frames_of_any_size_arrive_whole():
    """A payload larger than the socket's buffer is put together again."""
    ours, theirs = socket.socketpair()
    message = channel.Delta("r", "x" * 3_000_000, ())
    with ours, theirs:
        sender = threading.Thread(target=theirs.sendall, args=(channel.frame(message),))
        sender.start()
        payload = channel.receive(ours)
        sender.join()
        assert channel.from_worker_decoder.decode(payload).text == message.text
        theirs.close()
        assert channel.receive(ours) is None


def test_absurd_length_is_refused_before_memory_is_taken():
    """A frame over the bound means that the sides lost step."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(ConnectionError, match="over the bound"):
            channel.receive(ours)


def test_an_error_without_a_code_of_its_own_does_not_take_the_place_of_its_parent():
    """What a worker reports under a code is the class that brought it, whoever else subclasses that."""

    class _TornError(StoreError):
        """One that no worker raises."""

    back = channel.error_of(channel.Failure("r", StoreError.code, "damaged", None, None))
    assert type(back) is StoreError
    told = channel.error_of(channel.failure_message("r", _TornError("torn")))
    assert type(told) is StoreError
