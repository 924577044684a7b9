from homeport.worker.channel import Beat
from homeport.worker.pulse import Pulse, beat_seconds


def pulse():
    return Pulse(tick_seconds=1.0, step_timeout_seconds=15.0, first_step_timeout_seconds=300.0)


def ticks_until_it_hangs(subject, beat):
    """Let ticks pass, each with a beat where there is one; give how many it took."""
    for number in range(1, 1000):
        if beat is not None:
            subject.feel(beat)
        if subject.tick():
            return number
    return None


def beat(steps=3, *, works=True, peak=0, tokens=0):
    return Beat(steps, works, peak, peak, tokens)


def test_work_without_a_step_is_a_hang():
    """A worker that beats and does not get on is given 15 s."""
    subject = pulse()
    subject.feel(beat(steps=2))
    subject.feel(beat(steps=3))
    assert ticks_until_it_hangs(subject, beat(steps=3)) == 15


def test_silence_is_a_hang_with_work_or_without():
    """A process that was stopped does not beat."""
    assert ticks_until_it_hangs(pulse(), None) == 15


def test_idle_worker_may_stand_still():
    """Without work no step is expected."""
    assert ticks_until_it_hangs(pulse(), beat(works=False)) is None


def test_first_step_may_take_as_long_as_a_load():
    """It may compile, or read weights from a slow disk."""
    assert ticks_until_it_hangs(pulse(), beat(steps=0)) == 300


def test_steps_keep_it_alive():
    """Whatever takes long but gets on is left alone."""
    subject = pulse()
    for steps in range(100):
        subject.feel(beat(steps=steps))
        assert not subject.tick()


def test_largest_figures_are_kept():
    """The peak of a worker does not fall, what it holds does."""
    subject = pulse()
    subject.feel(beat(peak=70, tokens=9))
    subject.feel(beat(peak=60, tokens=5))
    assert (subject.resident_bytes, subject.peak_bytes, subject.cached_tokens) == (60, 70, 9)


def test_beats_are_frequent_enough_for_the_time_allowed():
    """A short timeout needs more than one beat per second."""
    assert beat_seconds(15.0) == 1.0
    assert beat_seconds(0.4) == 0.1
