"""Declares the routers."""

from collections.abc import Iterable

from homeport import RouterSpec, hookimpl
from homeport_routers.config import ComplexityConfig, LoadConfig, RulesConfig, StrategyConfig


@hookimpl
def homeport_routers() -> Iterable[RouterSpec]:
    """Offer routers by rule, complexity, strategy, affinity and load, in the order that suits most."""
    yield RouterSpec(name="rules", factory="homeport_routers.rules:Rules", config=RulesConfig)
    yield RouterSpec(
        name="complexity", factory="homeport_routers.complexity:Complexity", config=ComplexityConfig
    )
    yield RouterSpec(
        name="strategy", factory="homeport_routers.strategy:StrategyRouter", config=StrategyConfig
    )
    yield RouterSpec(name="affinity", factory="homeport_routers.affinity:Affinity")
    yield RouterSpec(name="load", factory="homeport_routers.load:Load", config=LoadConfig)
