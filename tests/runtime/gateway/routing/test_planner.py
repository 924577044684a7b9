import asyncio
import random

import attrs
import pytest

from homeport import (
    Capability,
    ConfigError,
    EmbeddingRequest,
    InvalidRequestError,
    ModelNotFoundError,
    NoRouteError,
    OverloadedError,
    RefusedError,
    Settings,
    Strategy,
)
from homeport.config.gateway_settings import GatewaySettings, RouteSettings
from homeport.config.model_settings import ModelSettings
from homeport.gateway.admission.line import TargetLoad
from homeport.gateway.attempts.breakers import Breakers
from homeport.gateway.routing.eligibility import Residence
from homeport.gateway.routing.standings import FRESH_SECONDS, Standings
from homeport.gateway.target import TargetKey
from homeport.testing import in_virtual_time


class Backwards:
    def rank(self, request, candidates):
        return [attrs.evolve(each, note="last first") for each in reversed(candidates)]


class Shuffling:
    def rank(self, request, candidates):
        order = list(candidates)
        random.Random(request.terms.seed).shuffle(order)
        return order


class Smuggling:
    """Brings in a candidate that was not asked for, twice."""

    def rank(self, request, candidates):
        foreign = attrs.evolve(candidates[0], backend="elsewhere")
        return [foreign, candidates[0], candidates[0]]


class Broken:
    def rank(self, request, candidates):
        raise ZeroDivisionError


class Dropping:
    def rank(self, request, candidates):
        return []


class OnlyHere:
    """Lets nothing leave this machine."""

    def rank(self, request, candidates):
        return [each for each in candidates if not each.model.is_remote]


class NeverFar:
    """Ends a request that could leave this machine."""

    def rank(self, request, candidates):
        if any(each.model.is_remote for each in candidates):
            raise RefusedError("not from here")
        return candidates


class Judging:
    """Finds requests as complex as a test says."""

    def __init__(self, complexity):
        self.complexity = complexity

    def rank(self, request, candidates):
        return [attrs.evolve(each, complexity=self.complexity) for each in candidates]


class Poor:
    """A guard that has no money for some models."""

    def __init__(self, *models):
        self.models = models

    def objection(self, request, candidate):
        return "the budget is spent" if candidate.model.name in self.models else ""


class Faulty:
    def objection(self, request, candidate):
        raise KeyError("a bug")


def failing(*names):
    """Open the breakers of some models."""
    breakers = Breakers(Settings().gateway.breaker, lambda event: None, random.Random(1))
    for name in names:
        for _ in range(10):
            breakers.call(TargetKey("here", name)).end(ConnectionError(), 0.1)
    return breakers


def route(**fields):
    return Settings(routes={"mine": RouteSettings(**fields)})


def too_large(*names):
    """Say of some models that they do not fit, and of the others that they are in memory."""

    def residence(candidate):
        is_large = candidate.model.name in names
        return Residence(not is_large, "needs 9 bytes, 3 can be had" if is_large else "")

    return residence


# Names


async def test_model_with_one_backend_is_served_by_it(planning):
    """Nothing is decided where there is nothing to choose."""
    decision = await planning.planner(planning.model("a:1b")).decide(planning.ask("a:1b"))
    assert (planning.names(decision.ranked), decision.reason, decision.refusals) == (["a:1b"], "only", ())


async def test_unknown_name_comes_with_names_spelt_alike(planning):
    """A typing slip is answered with what may have been meant, and nonsense as nonsense."""
    planner = planning.planner(planning.model("apple:1b"))
    with pytest.raises(ModelNotFoundError) as caught:
        await planner.decide(planning.ask("appel:1b"))
    assert caught.value.suggestions == ("apple:1b",)
    with pytest.raises(InvalidRequestError):
        await planner.decide(planning.ask("../etc/passwd"))


@pytest.mark.parametrize("word", ["fast", "FAST", "haiku", "fast:latest", " fast"])
async def test_tier_has_words_that_agents_use(planning, word):
    """A tier answers to its name, to its alias, and to the tag that some clients add."""
    planner = planning.planner(planning.model("s", billions=1), planning.model("m", billions=7))
    decision = await planner.decide(planning.ask(word))
    assert (planning.names(decision.ranked), decision.tier) == (["s"], "fast")


async def test_model_named_like_a_tier_wins(planning):
    """A name means the model that bears it before anything else."""
    planner = planning.planner(planning.model("power:latest", billions=1), planning.model("l", billions=70))
    assert planning.names((await planner.decide(planning.ask("power"))).ranked) == ["power"]


@pytest.mark.parametrize(
    ("tier", "expected"),
    [("fast", ["s2", "s1"]), ("sonnet", ["m"]), ("opus", ["l"]), ("remote", ["far"]), ("inherit", ["m"])],
)
async def test_tier_is_a_class_of_size(planning, tier, expected):
    """Without settings the models at hand decide, the largest of a class first, those elsewhere apart."""
    planner = planning.planner(
        planning.model("s1", billions=0.1),
        planning.model("s2", billions=2),
        planning.model("m", billions=14),
        planning.model("l", billions=14.1),
        planning.model("far", billions=1, backend="there", is_remote=True),
    )
    assert planning.names((await planner.decide(planning.ask(tier))).ranked) == expected


@pytest.mark.parametrize(
    ("sizes", "tier", "expected"),
    [
        ((0.1, 1), "power", "1"),
        ((0.1, 1), "balanced", "1"),
        ((70, 30), "fast", "30"),
        ((2,), "balanced", "2"),
        ((0,), "balanced", "0"),
    ],
)
async def test_empty_class_takes_the_next_smaller_models_then_the_next_larger(
    planning, sizes, tier, expected
):
    """A tier is empty only where there is no model at all."""
    planner = planning.planner(*(planning.model(f"{size}", billions=size) for size in sizes))
    assert planning.names((await planner.decide(planning.ask(tier))).ranked) == [expected]


async def test_configured_tier_is_what_the_settings_say(planning):
    """Settings name the models of a tier in their order; what is not there is named."""
    settings = Settings(tiers={"fast": ("m", "gone", "s")}, gateway=GatewaySettings(default_model="fast"))
    planner = planning.planner(planning.model("s"), planning.model("m"), settings=settings)
    for name in ("fast", "inherit"):
        decision = await planner.decide(planning.ask(name))
        assert planning.names(decision.ranked) == ["m", "s"]
        assert [(each.model, each.reason) for each in decision.refusals] == [
            ("gone", "is not installed, and no backend offers it")
        ]


async def test_auto_offers_every_model_that_can(planning):
    """A free choice is among all that write text, or all that embed."""
    planner = planning.planner(
        planning.model("a"), planning.encoder("e"), planning.model("b", is_remote=True)
    )
    assert planning.names((await planner.decide(planning.ask("auto"))).ranked) == ["a", "b"]
    embed = EmbeddingRequest(id="e", model="auto", inputs=("x",))
    assert planning.names((await planner.decide(embed)).ranked) == ["e"]


@pytest.mark.parametrize("name", ["auto", "fast"])
async def test_models_still_to_be_taken_over_are_for_who_names_them(planning, name):
    """A free choice takes minutes for none of them, unless there is nothing else."""
    shelved, here = (planning.model("far", origin="ollama-store"), planning.model("here"))
    both = planning.planner(shelved, here)
    assert planning.names((await both.decide(planning.ask(name))).ranked) == ["here"]
    assert planning.names((await both.decide(planning.ask("far"))).ranked) == ["far"]
    alone = planning.planner(shelved)
    assert planning.names((await alone.decide(planning.ask(name))).ranked) == ["far"]


async def test_auto_without_any_model_says_so(planning):
    """An empty house is an error, not a crash."""
    with pytest.raises(NoRouteError, match="no model is installed or offered"):
        await planning.planner().decide(planning.ask("auto"))


async def test_route_serves_its_models_under_its_name(planning):
    """A configured name stands for models and tiers, and for a model of that name where it lists none."""
    models = [planning.model("a"), planning.model("s", billions=1), planning.model("tinyllama:1.1b")]
    planner = planning.planner(*models, settings=route(models=("a", "fast")))
    decision = await planner.decide(planning.ask("mine"))
    assert (planning.names(decision.ranked), decision.route) == (["a", "s"], "mine")
    settings = Settings(routes={"tinyllama": RouteSettings(fallbacks=("a",))})
    for name in ("tinyllama:1.1b", "TinyLlama/TinyLlama-1.1B-Chat-v1.0"):
        decision = await planning.planner(*models, settings=settings).decide(planning.ask(name))
        assert planning.names((*decision.ranked, *decision.fallbacks)) == ["tinyllama:1.1b", "a"]


async def test_default_may_be_a_route_with_all_that_belongs_to_it(planning):
    """The name inherit stands for the whole route: its weights and its fallbacks, not only its models."""
    settings = Settings(
        gateway=GatewaySettings(default_model="mine"),
        routes={"mine": RouteSettings(models=("a", "b"), weights=(1, 1), fallbacks=("c",))},
    )
    planner = planning.planner(*map(planning.model, "abc"), settings=settings)
    decision = await planner.decide(planning.ask("inherit"))
    assert (decision.route, planning.names(decision.fallbacks)) == ("mine", ["c"])
    assert [step.name for step in decision.steps] == ["weights"]


@pytest.mark.parametrize("weights", [(1.0,), (1.0, -1.0), (0.0, 0.0), (float("nan"), 1.0)])
def test_weights_that_cannot_be_are_refused_at_the_start(planning, weights):
    """A route with wrong weights names itself."""
    with pytest.raises(ConfigError, match=r"\$\.routes\.mine\.weights"):
        planning.planner(settings=route(models=("a", "b"), weights=weights))


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        (route(models=("../a",)), r"\$\.routes\.mine\.models\[0\]"),
        (route(canary="no name"), r"\$\.routes\.mine\.canary"),
        (route(models=("a", "Inherit")), r"\$\.routes\.mine\.models\[1\]"),
        (route(models=("inherit:latest",)), r"\$\.routes\.mine\.models\[0\]"),
        (Settings(routes={"Desk": RouteSettings(), "desk": RouteSettings()}), r"\$\.routes\.desk"),
        (Settings(tiers={"fast": ("a",), "Fast": ("b",)}), r"\$\.tiers\.Fast"),
        (Settings(routes={"tinyllama": RouteSettings(), "tinyllama:1.1b": RouteSettings()}), "one model"),
        (Settings(tiers={"auto": ("a",)}), r"\$\.tiers\.auto"),
        (Settings(tiers={"my tier": ("a",)}), r'\$\.tiers\."my tier"'),
        (Settings(tiers={"fast": ("a", "")}), r"\$\.tiers\.fast\[1\]"),
        (Settings(gateway=GatewaySettings(fallbacks=("a b",))), r"\$\.gateway\.fallbacks\[0\]"),
    ],
)
def test_names_that_cannot_be_are_refused_at_the_start(planning, settings, path):
    """A slip in the settings stops the start, it does not fail requests."""
    with pytest.raises(ConfigError, match=path):
        planning.planner(settings=settings)


async def test_empty_tier_is_chosen_by_size(planning):
    """A tier that names no model is as if it were left out."""
    planner = planning.planner(planning.model("s", billions=1), settings=Settings(tiers={"fast": ()}))
    assert planning.names((await planner.decide(planning.ask("fast"))).ranked) == ["s"]


async def test_name_is_described_as_a_model(planning):
    """A name that leaves a choice has only those sampling defaults that all its models share."""
    planner = planning.planner(
        planning.encoder("e"),
        planning.model("a", parameters={"temperature": 0.1, "top_k": 5}),
        planning.model("b", parameters={"temperature": 0.9, "top_k": 5}),
        settings=Settings(tiers={"power": ("gone",)}),
    )
    assert (await planner.describe("auto", Capability.COMPLETION)).parameters == {"top_k": 5}
    assert (await planner.describe("a", Capability.COMPLETION)).parameters["temperature"] == 0.1
    assert (await planner.describe("auto", Capability.EMBEDDING)).name == "e"
    with pytest.raises(NoRouteError, match="gone on no backend: is not installed"):
        await planner.describe("power", Capability.COMPLETION)
    with pytest.raises(ModelNotFoundError):
        await planner.describe("nobody", Capability.COMPLETION)


async def test_model_to_load_is_the_one_that_would_serve(planning):
    """A tier is loaded as the model that serves it now, a model wherever it is offered."""
    here = planning.model("s", billions=1)
    planner = planning.planner(here, attrs.evolve(here, backend="there"), planning.model("m", billions=7))
    assert [each.backend for each in await planner.candidates("s")] == ["here", "there"]
    assert planning.names(await planner.candidates("balanced")) == ["m"]
    with pytest.raises(NoRouteError):
        await planner.candidates("remote")
    with pytest.raises(ModelNotFoundError):
        await planner.candidates("nobody")


# Eligibility


async def test_impossible_request_is_told_why_each_candidate_fell_out(planning):
    """The error lists every candidate with its reason."""
    models = [
        planning.encoder("e"),
        planning.model("far", is_remote=True, backend="there"),
        planning.model("short", context_length=64),
    ]
    settings = Settings(tiers={"fast": ("e", "far", "short")})
    with pytest.raises(NoRouteError) as caught:
        await planning.planner(*models, settings=settings).decide(
            planning.ask("fast", "word " * 100, local_only=True)
        )
    assert {each.model: each.reason for each in caught.value.refusals} == {
        "e": "does not offer completion",
        "far": "is on another machine, which the request forbids",
        "short": "64 tokens do not hold a prompt of about 129",
    }


async def test_local_only_forbids_a_named_model_elsewhere(planning):
    """A request that must stay here stays here, whoever it names."""
    planner = planning.planner(planning.model("far", is_remote=True))
    with pytest.raises(NoRouteError, match="another machine"):
        await planner.decide(planning.ask("far", local_only=True))


async def test_prompt_moves_to_a_model_that_holds_it(planning):
    """What a window cannot hold is no candidate; an endless answer is cut, not refused."""
    planner = planning.planner(
        planning.model("short", billions=1, context_length=100),
        planning.model("long", billions=1, context_length=400),
    )
    decision = await planner.decide(planning.ask("fast", "word " * 80, max_tokens=100_000))
    assert planning.names(decision.ranked) == ["long"]
    with pytest.raises(NoRouteError, match="400 tokens do not hold a prompt of about"):
        await planner.decide(planning.ask("fast", "word " * 1000))


async def test_local_window_is_what_a_model_is_loaded_with(planning):
    """What a model was made for does not help where it is loaded with less; a request may ask for more."""
    settings = Settings(models=ModelSettings(context_length=128))
    planner = planning.planner(planning.model("a", billions=1, context_length=4096), settings=settings)
    with pytest.raises(NoRouteError, match="128 tokens"):
        await planner.decide(planning.ask("fast", "word " * 200))
    assert (await planner.decide(planning.ask("fast", "word " * 200, context_length=512))).ranked


async def test_named_model_still_cuts_its_prompt(planning):
    """A model asked for by name is not refused for a long prompt, with one backend or two."""
    one = planning.model("a", context_length=64)
    for models in ([one], [one, attrs.evolve(one, backend="there")]):
        decision = await planning.planner(*models).decide(planning.ask("a", "word " * 200))
        assert len(decision.ranked) == len(models)


async def test_prompt_that_just_fits_is_no_reason(planning):
    """A window that is exactly filled holds its prompt."""
    settings = Settings(tiers={"fast": ("a",)})
    planner = planning.planner(planning.model("a", context_length=129), settings=settings)
    assert (await planner.decide(planning.ask("fast", "word " * 100))).ranked
    with pytest.raises(NoRouteError):
        await planner.decide(planning.ask("fast", "word " * 101))


async def test_route_of_one_model_is_that_model(planning):
    """Another name for a model cuts prompts as the model does; a choice of two does not."""
    models = [planning.model("a", context_length=64), planning.model("b", context_length=64)]
    planner = planning.planner(*models, settings=route(models=("a",)))
    assert (await planner.decide(planning.ask("mine", "word " * 200))).ranked
    planner = planning.planner(*models, settings=route(models=("b", "a")))
    with pytest.raises(NoRouteError):
        await planner.decide(planning.ask("mine", "word " * 200))


async def test_model_that_stands_alone_is_not_judged(planning):
    """Its own backend or guard tells better what is the matter."""
    planner = planning.planner(planning.model("a"), residency=too_large("a"), guards=[Poor("a")])
    decision = await planner.decide(planning.ask("a"))
    assert (planning.names(decision.ranked), decision.reason, decision.refusals) == (["a"], "only", ())


async def test_prompt_that_is_too_long_goes_to_the_configured_larger_window(planning):
    """A fallback for long prompts comes before cutting them."""
    settings = Settings(gateway=GatewaySettings(context_fallbacks=("long",)))
    models = [planning.model("a", context_length=64), planning.model("long", context_length=4096)]
    planner = planning.planner(*models, settings=settings)
    decision = await planner.decide(planning.ask("a", "word " * 200))
    assert (planning.names(decision.ranked), decision.reason) == (["long"], "context")
    short = await planner.decide(planning.ask("a"))
    assert (planning.names(short.ranked), planning.names(short.context_fallbacks)) == (["a"], ["long"])


@pytest.mark.parametrize("spoilt", ["no room", "failing"])
async def test_larger_window_is_one_that_can_serve_now(planning, spoilt):
    """Of those that hold a long prompt, who has room and works comes first; the weights are not theirs."""
    settings = route(models=("a", "b"), weights=(1, 1), context_fallbacks=("c", "d", "e"))
    models = [
        planning.model(name, context_length=9 if name in "ab" else 999, is_remote=True) for name in "abcde"
    ]
    planner = planning.planner(
        *models,
        settings=settings,
        residency=too_large("c") if spoilt == "no room" else too_large(),
        refusal=failing("c").refusal if spoilt == "failing" else failing().refusal,
    )
    for seed in range(4):
        decision = await planner.decide(planning.ask("mine", "word " * 99, seed=seed))
        assert (planning.names(decision.ranked), decision.reason) == (["d", "e"], "context")
        assert planning.names(decision.context_fallbacks) == ["c"]


async def test_larger_window_is_waited_for_rather_than_cutting(planning):
    """Where no model that holds a prompt has room now, it is still such a model that gets it."""
    settings = Settings(gateway=GatewaySettings(context_fallbacks=("big",)))
    models = [planning.model("a", context_length=9, is_remote=True), planning.model("big")]
    planner = planning.planner(*models, settings=settings, residency=too_large("big"))
    assert planning.names((await planner.decide(planning.ask("a", "word " * 99))).ranked) == ["big"]


async def test_larger_window_is_not_looked_for_where_a_backend_of_the_model_has_it(planning):
    """One backend of a model may hold what another does not."""
    settings = Settings(gateway=GatewaySettings(context_fallbacks=("big",)))
    lengths = {"x": 9, "y": 999}
    models = [
        planning.model("a", backend=name, context_length=length, is_remote=True)
        for name, length in lengths.items()
    ]
    planner = planning.planner(*models, planning.model("big"), settings=settings)
    decision = await planner.decide(planning.ask("a", "word " * 99))
    assert [each.backend for each in decision.ranked] == ["y"]


async def test_long_prompt_fails_over_to_the_other_backend_of_its_model(planning):
    """What may cut a prompt on one backend may cut it on the next, when the first fails."""
    models = [planning.model("a", backend=name, context_length=9, is_remote=True) for name in ("x", "y")]
    planner, request = planning.planner(*models), planning.ask("a", "word " * 99)
    decision = await planner.decide(request)
    assert [each.backend for each in decision.ranked] == ["x", "y"]
    assert planner.objection(request, decision.ranked[1]) == ""


async def test_model_that_does_not_fit_is_named_and_a_smaller_one_serves(planning):
    """A tier is resolved against the memory there is."""
    planner = planning.planner(
        planning.model("m", billions=7), planning.model("s", billions=1), residency=too_large("m")
    )
    decision = await planner.decide(planning.ask("balanced"))
    assert planning.names(decision.ranked) == ["s"]
    assert decision.refusals[0].reason == "needs 9 bytes, 3 can be had"


async def test_model_for_which_there_is_no_room_may_wait_for_it_where_it_is_the_last(planning):
    """Its own error says more than that of an empty set, and memory may become free."""
    planner = planning.planner(planning.model("m", billions=7), residency=too_large("m"))
    decision = await planner.decide(planning.ask("balanced"))
    assert (planning.names(decision.ranked), decision.reason) == (["m"], "last-hope")


async def test_open_breaker_moves_requests_but_never_ejects_the_last(planning):
    """Half of a group may be out; a model that stands alone is asked whatever its breaker says."""
    settings = Settings()
    breakers = Breakers(settings.gateway.breaker, lambda event: None, random.Random(1))
    planner = planning.planner(planning.model("a"), planning.model("b"), refusal=breakers.refusal)
    for _ in range(10):
        breakers.call(TargetKey("here", "a")).end(ConnectionError(), 0.1)
    decision = await planner.decide(planning.ask("auto"))
    assert planning.names(decision.ranked) == ["b"]
    assert planning.names((await planner.decide(planning.ask("a"))).ranked) == ["a"]


async def test_fallback_serves_while_all_that_were_asked_for_fail(planning):
    """An open breaker turns to the configured fallbacks; where these fail too, the model itself is asked."""
    settings = Settings(gateway=GatewaySettings(fallbacks=("b", "c")))
    models = [planning.model(name) for name in "abc"]
    planner = planning.planner(*models, settings=settings, refusal=failing("a", "b").refusal)
    decision = await planner.decide(planning.ask("a"))
    assert (planning.names(decision.ranked), decision.reason) == (["c"], "fallback")
    assert [each.model for each in decision.refusals] == ["a"]
    planner = planning.planner(*models, settings=settings, refusal=failing("a", "b", "c").refusal)
    assert planning.names((await planner.decide(planning.ask("a"))).ranked) == ["a"]


async def test_fallback_waits_while_one_that_was_asked_for_works(planning):
    """Of three models two fail; the third serves, not the fallback."""
    settings = route(models=("a", "b", "c"), fallbacks=("d",))
    planner = planning.planner(
        *map(planning.model, "abcd"), settings=settings, refusal=failing("a", "b").refusal
    )
    decision = await planner.decide(planning.ask("mine"))
    assert "c" in planning.names(decision.ranked)
    assert planning.names(decision.fallbacks) == ["d"]


async def test_fallback_serves_while_an_operator_has_the_model_out(planning):
    """Taking a backend out by hand is no outage where somebody else can serve."""
    breakers = failing()
    breakers.force_open(TargetKey("here", "a"))
    settings = Settings(gateway=GatewaySettings(fallbacks=("b",)))
    models = [planning.model("a"), planning.model("b")]
    planner = planning.planner(*models, settings=settings, refusal=breakers.refusal)
    assert planning.names((await planner.decide(planning.ask("a"))).ranked) == ["b"]


async def test_breakers_of_those_that_cannot_serve_do_not_count(planning):
    """A candidate is the last one when all others fell out before it."""
    breakers = Breakers(Settings().gateway.breaker, lambda event: None, random.Random(1))
    for _ in range(10):
        breakers.call(TargetKey("here", "a")).end(ConnectionError(), 0.1)
    planner = planning.planner(
        planning.model("a"), planning.model("b", is_remote=True), refusal=breakers.refusal
    )
    assert planning.names((await planner.decide(planning.ask("auto", local_only=True))).ranked) == ["a"]


async def test_backend_that_an_operator_took_out_is_out_for_a_while(planning):
    """What passes with time is 503 with a time to come back, not 400."""
    breakers = Breakers(Settings().gateway.breaker, lambda event: None, random.Random(1))
    breakers.force_open(TargetKey("here", "a"))
    with pytest.raises(OverloadedError) as caught:
        await planning.planner(planning.model("a"), refusal=breakers.refusal).decide(planning.ask("a"))
    assert caught.value.retry_after_seconds > 0


async def test_candidate_known_to_be_too_slow_is_passed_over(planning):
    """A deadline that a backend did not meet lately leaves it out, where another may meet it."""
    standings = Standings()
    planner = planning.planner(planning.model("slow"), planning.model("new"), standings=standings)
    standings.observe(TargetKey("here", "slow"), "", error=None, first_token_seconds=9.0)
    decision = await planner.decide(planning.ask("auto", deadline_seconds=5.0))
    assert planning.names(decision.ranked) == ["new"]
    assert planning.names((await planner.decide(planning.ask("auto"))).ranked) == ["slow", "new"]


@in_virtual_time
async def test_slow_answer_is_forgotten_after_a_while(planning):
    """Who was too slow once is tried again, or it could never do better."""
    standings = Standings()
    planner = planning.planner(planning.model("slow"), planning.model("new"), standings=standings)
    standings.observe(TargetKey("here", "slow"), "", error=None, first_token_seconds=9.0)
    await asyncio.sleep(FRESH_SECONDS + 1)
    decision = await planner.decide(planning.ask("auto", deadline_seconds=5.0))
    assert planning.names(decision.ranked) == ["slow", "new"]


async def test_refusal_that_passes_for_one_passes(planning):
    """Where one candidate may serve in a while, the request may come again."""
    models = [planning.model("a"), planning.model("b", is_remote=True)]
    breakers = failing()
    breakers.force_open(TargetKey("here", "a"))
    planner = planning.planner(*models, refusal=breakers.refusal)
    with pytest.raises(OverloadedError):
        await planner.decide(planning.ask("auto", local_only=True))


async def test_guard_objects_before_anything_is_chosen(planning):
    """No budget, no candidate; where nobody else is left, the guard's own error is to be heard."""
    models = [planning.model("a"), planning.model("b")]
    decision = await planning.planner(*models, guards=[Poor("a")]).decide(planning.ask("auto"))
    assert (planning.names(decision.ranked), decision.refusals[0].reason) == (["b"], "the budget is spent")
    decision = await planning.planner(*models, guards=[Poor("a", "b")]).decide(planning.ask("auto"))
    assert planning.names(decision.ranked) == ["a", "b"]


async def test_guard_that_fails_objects(planning):
    """A bug in a guard does not open the door, nor does it stop the planner."""
    decision = await planning.planner(planning.model("a"), planning.model("b"), guards=[Faulty()]).explain(
        planning.ask("auto")
    )
    assert {each.reason for each in decision.refusals} == {"a guard could not judge it"}


async def test_objection_to_a_fallback_counts_its_breaker(planning):
    """A fallback is never the last of its group."""
    planner = planning.planner(
        planning.model("a"), refusal=lambda key, group: "open" if len(group) > 1 else ""
    )
    decision = await planner.decide(planning.ask("a"))
    assert planner.objection(planning.ask("a"), decision.ranked[0]) == "open"


# Ranking


async def test_routers_rank_in_their_order_and_are_noted(planning):
    """The trace holds what each router made of the candidates and what it wrote beside them."""
    planner = planning.planner(
        planning.model("a"), planning.model("b"), routers=[("one", Backwards()), ("two", Shuffling())]
    )
    decision = await planner.decide(planning.ask("auto", seed=3))
    assert [step.name for step in decision.steps] == ["one", "two"]
    assert [each.note for each in decision.steps[0].order] == ["last first"] * 2
    assert [each.note for each in decision.ranked] == ["", ""]


async def test_router_cannot_bring_in_candidates(planning):
    """What was not eligible stays out, and nobody is asked twice."""
    planner = planning.planner(planning.model("a"), planning.model("b"), routers=[("bad", Smuggling())])
    decision = await planner.decide(planning.ask("auto"))
    assert [(each.backend, each.model.name) for each in decision.ranked] == [("here", "a")]
    assert [(each.model, each.reason) for each in decision.refusals] == [("b", "router 'bad' left it out")]


async def test_router_that_fails_is_passed_over(planning):
    """A bug in a router costs its opinion, not the request."""
    planner = planning.planner(planning.model("a"), planning.model("b"), routers=[("bad", Broken())])
    decision = await planner.decide(planning.ask("auto"))
    assert (planning.names(decision.ranked), decision.reason) == (["a", "b"], "order")
    assert decision.steps[0].failure == "ZeroDivisionError"


async def test_what_a_router_forbids_no_fallback_and_no_trial_does(planning):
    """A rule that keeps data here holds for a canary, a shadow and every chain."""
    settings = route(
        models=("a", "far"),
        canary="far",
        canary_share=1.0,
        shadow="far",
        shadow_share=1.0,
        fallbacks=("far", "b"),
        context_fallbacks=("far", "b"),
        content_fallbacks=("far", "b"),
    )
    models = [planning.model("a"), planning.model("b"), planning.model("far", is_remote=True)]
    planner = planning.planner(*models, settings=settings, routers=[("here", OnlyHere())])
    decision = await planner.decide(planning.ask("mine"))
    chains = (decision.fallbacks, decision.context_fallbacks, decision.content_fallbacks)
    assert planning.names(decision.ranked) == ["a"]
    assert [planning.names(chain) for chain in chains] == [["b"]] * 3
    assert decision.shadow is None


async def test_router_that_would_end_a_request_elsewhere_keeps_its_fallbacks_away(planning):
    """What a router refuses is no reason to refuse what it allows."""
    settings = Settings(gateway=GatewaySettings(fallbacks=("far",)))
    models = [planning.model("a"), planning.model("far", is_remote=True)]
    planner = planning.planner(*models, settings=settings, routers=[("never-far", NeverFar())])
    decision = await planner.decide(planning.ask("a"))
    assert (planning.names(decision.ranked), decision.fallbacks) == (["a"], ())


@pytest.mark.parametrize(
    ("told", "believed"), [(7, 1.0), (-1, 0.0), (float("nan"), 0.0), (0.3, 0.3), (None, None)]
)
async def test_complexity_is_a_share(planning, told, believed):
    """Routers behind one that judges see a number from 0 to 1."""
    planner = planning.planner(planning.model("a"), routers=[("judging", Judging(told))])
    assert (await planner.decide(planning.ask("a"))).ranked[0].complexity == believed


async def test_router_that_leaves_nobody_refuses(planning):
    """An empty ranking is an error that names the router; an explanation shows it."""
    planner = planning.planner(planning.model("a"), routers=[("strict", Dropping())])
    with pytest.raises(RefusedError, match="router 'strict' refuses every backend of model 'a': here"):
        await planner.decide(planning.ask("a"))
    decision = await planner.explain(planning.ask("a"))
    assert (decision.ranked, decision.steps[0].order) == ((), ())


async def test_decision_is_replayed_from_its_record(planning):
    """Equal seed and state give an equal decision, and the record alone gives the ranking again."""
    models = [planning.model(f"m{number}") for number in range(12)]
    planner = planning.planner(*models, routers=[("shuffling", Shuffling())])
    first = await planner.decide(planning.ask("auto"))
    assert await planner.explain(planning.ask("auto", seed=first.seed)) == first
    replayed = planner.routing.rank(planning.ask("auto", seed=first.seed), first.considered)
    assert replayed.candidates == first.ranked
    others = [await planner.decide(planning.ask("auto")) for _ in range(5)]
    assert len({tuple(planning.names(each.ranked)) for each in others}) > 1


async def test_standing_tells_routers_what_they_need(planning):
    """Load, history, memory, weight and conversation reach the routers."""
    standings = Standings()
    standings.observe(TargetKey("here", "a"), "summary", error=None, first_token_seconds=2)
    planner = planning.planner(
        planning.model("a", slots=4),
        standings=standings,
        load_of=lambda key: TargetLoad(in_flight=3, waiting=2, limit=8),
        residency=lambda candidate: Residence(False),
    )
    request = planning.ask("a", task="summary")
    planner.served(request, (await planner.decide(request)).ranked[0])
    standing = (await planner.decide(request)).ranked[0].standing
    assert (standing.in_flight, standing.waiting, standing.slots) == (3, 2, 4)
    assert (standing.latency_seconds, standing.is_resident, standing.served_before) == (2.0, False, True)


# Shares of traffic


async def test_weights_share_requests_out(planning):
    """Each model of a route comes first as often as its weight says, by the seed alone."""
    planner = planning.planner(
        planning.model("a"), planning.model("b"), planning.model("c"),
        settings=route(models=("a", "b", "c"), weights=(7.0, 3.0, 0.0)),
    )  # fmt: skip
    firsts = [
        planning.names((await planner.decide(planning.ask("mine", seed=seed))).ranked)[0]
        for seed in range(2000)
    ]
    assert firsts.count("a") == pytest.approx(1400, abs=80)
    assert firsts.count("c") == 0


async def test_route_without_weights_weighs_nothing(planning):
    """Members that are tiers of several models are no wish to share requests out."""
    settings = Settings(tiers={"power": ("a", "b")}, routes={"mine": RouteSettings(models=("c", "power"))})
    planner = planning.planner(*map(planning.model, "abc"), settings=settings)
    decision = await planner.decide(planning.ask("mine"))
    assert [each.standing.weight for each in decision.ranked] == [1.0] * 3


async def test_backends_of_one_model_share_its_weight(planning):
    """A model that two backends offer gets no more than its share."""
    models = [planning.model("a", backend="x"), planning.model("a", backend="y"), planning.model("b")]
    planner = planning.planner(*models, settings=route(models=("a", "b"), weights=(1, 2)))
    decision = await planner.decide(planning.ask("mine"))
    weights = {(each.backend, each.model.name): each.standing.weight for each in decision.ranked}
    assert weights == {("x", "a"): 0.5, ("y", "a"): 0.5, ("here", "b"): 2.0}


async def test_session_leaves_where_others_wait(planning):
    """A place that others wait for is not free."""
    waited_for = {"a"}

    def load_of(key):
        waiting = 1 if key.model in waited_for else 0
        return TargetLoad(in_flight=0, waiting=waiting, limit=4)

    planner = planning.planner(
        planning.model("a"),
        planning.model("b"),
        settings=route(models=("a", "b"), weights=(1, 99)),
        load_of=load_of,
    )
    request = planning.ask("mine", session="s", seed=1)
    first = await planner.decide(request)
    assert planning.names(first.ranked)[0] == "b"
    planner.served(request, next(each for each in first.ranked if each.model.name == "a"))
    assert planning.names((await planner.decide(request)).ranked)[0] == "b"
    waited_for.clear()
    assert planning.names((await planner.decide(request)).ranked)[0] == "a"


async def test_large_weights_are_shares_too(planning):
    """Two equal weights are equal shares, however large they are."""
    planner = planning.planner(
        planning.model("a"), planning.model("b"), settings=route(models=("a", "b"), weights=(1e18, 1e18))
    )
    decisions = [await planner.decide(planning.ask("mine", seed=seed)) for seed in range(20)]
    assert {planning.names(each.ranked)[0] for each in decisions} == {"a", "b"}


async def test_session_stays_where_it_was_served(planning):
    """A session goes to the same model again, unless that is busy; another owner's is another one."""
    load = {"in_flight": 0}
    planner = planning.planner(
        planning.model("a"),
        planning.model("b"),
        settings=route(models=("a", "b"), weights=(1.0, 1.0)),
        load_of=lambda key: TargetLoad(in_flight=load["in_flight"], waiting=0, limit=1),
    )

    async def firsts(**terms):
        decisions = [await planner.decide(planning.ask("mine", seed=seed, **terms)) for seed in range(30)]
        return {planning.names(each.ranked)[0] for each in decisions}

    assert await firsts(session="s1") == {"a", "b"}
    request = planning.ask("mine", session="s1", seed=1)
    planner.served(request, (await planner.decide(request)).ranked[0])
    assert len(await firsts(session="s1")) == 1
    assert await firsts(session="s1", owner="somebody else") == {"a", "b"}
    load["in_flight"] = 1
    assert await firsts(session="s1") == {"a", "b"}


async def test_equal_beginning_is_told_to_routers_and_moves_no_share(planning):
    """What an agent's requests have in common helps a router, and does not undo the weights."""
    planner = planning.planner(
        planning.model("a"), planning.model("b"), settings=route(models=("a", "b"), weights=(1.0, 1.0))
    )
    first = planning.ask("mine", "one", system="You are kind. " * 50, seed=1)
    served = (await planner.decide(first)).ranked[0]
    planner.served(first, served)
    decisions = [
        await planner.decide(planning.ask("mine", "two", system="You are kind. " * 50, seed=seed))
        for seed in range(30)
    ]
    assert {planning.names(each.ranked)[0] for each in decisions} == {"a", "b"}
    for decision in decisions:
        before = [each.model.name for each in decision.considered if each.standing.served_before]
        assert before == [served.model.name]
    stranger = await planner.decide(planning.ask("mine", "two", system="You are rude."))
    assert not any(each.standing.served_before for each in stranger.considered)


async def test_canary_gets_its_share_and_stops_at_its_bound(planning):
    """A model on trial serves some of the requests, and no more than allowed."""
    settings = route(models=("a",), canary="b", canary_share=0.2, trial_requests=150)
    planner = planning.planner(planning.model("a"), planning.model("b"), settings=settings)
    explained = [await planner.explain(planning.ask("mine", seed=seed)) for seed in range(1000)]
    assert sum(each.canary for each in explained) == pytest.approx(200, abs=40)
    decided = [await planner.decide(planning.ask("mine", seed=seed)) for seed in range(2000)]
    tried = [each for each in decided if each.canary]
    assert len(tried) == 150
    assert {(each.reason, tuple(planning.names(each.ranked))) for each in tried} == {("canary", ("b", "a"))}


async def test_canary_that_fails_gets_no_more_requests(planning):
    """A trial ends when the model does not work."""
    standings = Standings()
    settings = route(models=("a",), canary="b", canary_share=1.0)
    planner = planning.planner(
        planning.model("a"), planning.model("b"), settings=settings, standings=standings
    )
    assert (await planner.decide(planning.ask("mine"))).canary
    for _ in range(25):
        standings.observe(TargetKey("here", "b"), "", error=ConnectionError(), first_token_seconds=None)
    assert not (await planner.decide(planning.ask("mine"))).canary


async def test_shadow_stays_here_unless_it_is_named(planning):
    """A copy leaves this machine only to a model that the settings name."""
    models = [
        planning.model("a"),
        planning.model("far", billions=7, is_remote=True, backend="there"),
    ]
    for shadow, expected in (("far", "far"), ("remote", None), ("auto", None), ("gone", None)):
        settings = route(models=("a",), shadow=shadow, shadow_share=1.0)
        decision = await planning.planner(*models, settings=settings).decide(planning.ask("mine"))
        assert (decision.shadow and decision.shadow.model.name) == expected
    settings = route(models=("a",), shadow="far", shadow_share=1.0)
    decision = await planning.planner(*models, settings=settings).decide(
        planning.ask("mine", local_only=True)
    )
    assert decision.shadow is None


async def test_fallbacks_are_four_at_most_and_can_serve(planning):
    """A chain names tiers and models, leaves out who could not serve later either, and repeats nobody."""
    models = [planning.model(f"m{number}", billions=1) for number in range(6)]
    models += [planning.encoder("e"), planning.model("a", billions=70)]
    settings = Settings(gateway=GatewaySettings(fallbacks=("a", "e", "gone", "fast")))
    decision = await planning.planner(*models, settings=settings).decide(planning.ask("a"))
    assert planning.names(decision.fallbacks) == ["m0", "m1", "m2", "m3"]


@pytest.mark.parametrize(("asked", "seen"), [(None, Strategy.SPEED), (Strategy.COST, Strategy.COST)])
async def test_routers_see_the_strategy_that_counts(planning, asked, seen):
    """That of the request, or else the configured one."""
    found = []

    class Listening:
        def rank(self, request, candidates):
            found.append(request.terms.strategy)
            return candidates

    settings = Settings(gateway=GatewaySettings(strategy="speed"))
    planner = planning.planner(planning.model("m"), settings=settings, routers=[("listening", Listening())])
    await planner.decide(planning.ask("m", strategy=asked))
    assert found == [seen]
