import time

import pytest

from homeport import ChatPrompt, GenerationRequest, Message, Role, Terms
from homeport_routers.config import RuleConfig, RulesConfig
from homeport_routers.rules import Rules


def rules(**config):
    """Make a router of rules by name."""
    return Rules(RulesConfig(rule={name: RuleConfig(**rule) for name, rule in config.items()}))


@pytest.fixture
def three(candidate):
    """A small and a large local model, and a remote one."""
    return [
        candidate("here", "a:1b", tier="fast"),
        candidate("here2", "b:70b", tier="power"),
        candidate("there", "c", tier="remote", is_remote=True),
    ]


@pytest.mark.parametrize(
    ("rule", "asked", "holds"),
    [
        ({"tags": ("Legal",)}, {"tags": ("x", "LEGAL")}, True),
        ({"tags": ("legal",)}, {"tags": ("illegal",)}, False),
        ({"agents": ("reviewer",)}, {"agent": "Reviewer"}, True),
        ({"agents": ("reviewer",)}, {}, False),
        ({"models": ("auto",)}, {"model": "auto:latest"}, True),
        ({"models": ("fast",)}, {"model": "auto"}, False),
        ({"words": ("first class",)}, {"text": "Was it First Class?"}, True),
        ({"words": ("class",)}, {"text": "A classic, of classes"}, False),
        ({"words": ("pass-word", "secret")}, {"text": "my secret."}, True),
        ({"words": ("c++",)}, {"text": "in C++"}, True),
        ({"words": ("a.b",)}, {"text": "axb"}, False),
        ({"words": ("secret",)}, {"text": "topsecret, then a secret_key"}, True),
        ({"least_tokens": 100}, {"text": "a" * 500}, True),
        ({"least_tokens": 100}, {"text": "a" * 50}, False),
        ({"most_tokens": 100}, {"text": "a" * 500}, False),
        ({"tasks": ("Code_Generation",)}, {"task": "code generation"}, True),
        ({"tasks": ("summary",)}, {"text": "Summarise this report in two sentences: it rained."}, True),
        ({"tasks": ("code-generation", "code-analysis")}, {"text": "Is first class worth the money?"}, False),
        ({"tasks": ("summary",), "tags": ("x",)}, {"task": "summary"}, False),
    ],
)
def test_a_rule_holds_when_all_its_conditions_do(ask, three, rule, asked, holds):
    """Each condition is met by any of its entries; case does not matter, and words are whole."""
    ranked = rules(it=rule | {"prefer": ("there",)}).rank(ask(**asked), three)
    assert (ranked[0].backend == "there") is holds


@pytest.mark.parametrize(
    ("prefer", "order"),
    [
        (("power",), ["here2", "here", "there"]),
        (("remote", "power"), ["there", "here2", "here"]),
        (("c", "nobody"), ["there", "here", "here2"]),
        (("HERE2/B:70B",), ["here2", "here", "there"]),
        (("local",), ["here", "here2", "there"]),
    ],
)
def test_preferred_come_first_and_the_others_keep_their_order(ask, three, names, prefer, order):
    """Tiers, models, backends and both together can be preferred."""
    assert names(rules(it={"prefer": prefer}).rank(ask(), three)) == order


def test_only_the_first_rule_that_holds_counts(ask, three, names):
    """Rules are read like those of a firewall."""
    router = rules(
        no={"tags": ("x",), "refuse": True}, one={"prefer": ("there",)}, two={"prefer": ("here2",)}
    )
    assert names(router.rank(ask(), three))[0] == "there"
    assert list(router.rank(ask(tags=("x",)), three)) == []


def test_secrets_stay_here(ask, three, names):
    """What ``only`` does not name is refused."""
    router = rules(secret={"words": ("confidential",), "only": ("local",)})
    assert names(router.rank(ask("This is CONFIDENTIAL: ..."), three)) == ["here", "here2"]


def test_critical_puts_the_most_capable_first_for_good(ask, three, names):
    """Critical is a rule, and each candidate is a group of its own, so that no later router changes it."""
    ranked = rules(it={"critical": True}).rank(ask(), three)
    assert names(ranked) == ["there", "here2", "here"]
    assert [each.group for each in ranked] == [0, 1, 2]
    assert ranked[0].note == "rule 'it': critical"


def test_without_a_rule_nothing_changes(ask, three):
    """No rule, no opinion."""
    assert list(rules().rank(ask(), three)) == three


def test_long_prompts_are_searched_at_both_ends(ask, three, names):
    """A word behind a megabyte of text is found."""
    router = rules(it={"words": ("needle",), "prefer": ("there",)})
    assert names(router.rank(ask("hay " * 400_000 + "needle"), three))[0] == "there"


def test_hostile_text_does_not_hold_the_loop(three):
    """A word of one letter took 1.7 s in eight megabytes of it when each place was looked at."""
    prompt = ChatPrompt(tuple(Message(Role.USER, "a" * 1_000_000) for _ in range(8)))
    asked = GenerationRequest(id="r", model="auto", prompt=prompt, terms=Terms(seed=1))
    router = rules(it={"words": ("a",), "refuse": True})
    began = time.process_time()
    assert list(router.rank(asked, three)) == three
    assert time.process_time() - began < 0.5


def test_sizes_stand_in_for_tiers(ask, candidate, names):
    """Behind ``auto`` nobody was found in a tier, and rules may still name classes."""
    found = [candidate("small", "a:1b"), candidate("middle", "b:7b"), candidate("large", "c:70b")]
    assert names(rules(it={"prefer": ("power",)}).rank(ask(), found))[0] == "large"
    assert names(rules(it={"only": ("fast", "balanced")}).rank(ask(), found)) == ["small", "middle"]
