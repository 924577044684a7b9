"""Declares guard, router, route and verb; imports nothing heavy."""

from collections.abc import Iterable

from homeport import CommandSpec, GuardSpec, RouterSpec, RouteScope, RouteSpec, hookimpl
from homeport_costguard.config import CostGuardConfig

TABLE = "cost-guard"
"""All records read ``[plugins.cost-guard]``."""
_FACTORY = "homeport_costguard.guard:CostGuard"
"""Guard, router and route are one object, which owns the ledger."""


@hookimpl
def homeport_guards() -> Iterable[GuardSpec]:
    """Offer the guard that reserves and charges."""
    yield GuardSpec(name=TABLE, factory=_FACTORY, config=CostGuardConfig, keeps_state=True)


@hookimpl
def homeport_routers() -> Iterable[RouterSpec]:
    """Offer the router that prefers what is cheap, and what is local."""
    yield RouterSpec(name="cost", table=TABLE, factory=_FACTORY, config=CostGuardConfig, keeps_state=True)


@hookimpl
def homeport_routes() -> Iterable[RouteSpec]:
    """Offer the report over HTTP."""
    yield RouteSpec(
        name="costs",
        path="/v1/costs",
        scope=RouteScope.ADMIN,
        summary="What was spent, and how budgets stand",
        table=TABLE,
        factory=_FACTORY,
        config=CostGuardConfig,
        keeps_state=True,
    )


@hookimpl
def homeport_commands() -> Iterable[CommandSpec]:
    """Offer ``homeport cost``."""
    yield CommandSpec(
        name="cost",
        summary="Show what was spent, and how budgets stand",
        table=TABLE,
        factory="homeport_costguard.command:cost_command",
        config=CostGuardConfig,
        keeps_state=True,
    )
