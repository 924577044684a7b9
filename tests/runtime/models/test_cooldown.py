import pytest

from homeport.domain.overload import CoolingError
from homeport.models.cooldown import Cooldown


def check(cooldown, now, revision=7):
    cooldown.note_revision(revision)
    cooldown.check("tiny:latest", "digest", now=now)


def test_pauses_double_up_to_five_minutes():
    """10, 20, 40 ... 300 s, and one try after each."""
    cooldown, now, pauses = Cooldown(), 0.0, []
    for _ in range(7):
        cooldown.note_failure("digest", now=now, revision=7)
        with pytest.raises(CoolingError) as refused:
            check(cooldown, now)
        pauses.append(refused.value.retry_after_seconds)
        now += pauses[-1]
        check(cooldown, now)
    assert pauses == [10, 20, 40, 80, 160, 300, 300]


def test_time_left_is_told():
    """Who comes late in the pause is sent away for the rest of it only, and never for 0 s."""
    cooldown = Cooldown()
    cooldown.note_failure("digest", now=100.0, revision=7)
    with pytest.raises(CoolingError) as refused:
        check(cooldown, 109.9)
    assert refused.value.retry_after_seconds == 1
    assert refused.value.status == 503


def test_success_forgets_all_failures():
    """After a load that went well the next pause is a short one."""
    cooldown = Cooldown()
    cooldown.note_failure("digest", now=0.0, revision=7)
    cooldown.note_failure("digest", now=20.0, revision=7)
    cooldown.note_success("digest")
    check(cooldown, 21.0)
    cooldown.note_failure("digest", now=30.0, revision=7)
    check(cooldown, 40.0)


def test_changed_store_ends_the_pause():
    """A model that was pulled again may be whole now."""
    cooldown = Cooldown()
    cooldown.note_failure("digest", now=0.0, revision=7)
    check(cooldown, 1.0, revision=8)


def test_other_models_are_not_concerned():
    """A pause is one model's own."""
    cooldown = Cooldown()
    cooldown.note_failure("another", now=0.0, revision=7)
    check(cooldown, 1.0)
