"""All hooks on one screen.

A hook runs once, at start-up, and returns small frozen records that say what exists and where its
implementation lives. It imports nothing heavy, does no I/O and is never ``async``. Arguments are opt-in:
an implementation names those it wants. Order and choice are configuration, never ``tryfirst``.
"""

from collections.abc import Iterable

import pluggy

from homeport.config.settings import Settings
from homeport.plugin.records import (
    BackendSpec,
    CommandSpec,
    GuardSpec,
    ModelSourceSpec,
    MonitorSpec,
    RouterSpec,
    RouteSpec,
    ValidatorSpec,
)

PROJECT = "homeport"
PLUGIN_API = 1
"""Rises with each change that can break a plugin; one may state what it needs as ``REQUIRES_PLUGIN_API``."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class HomeportSpec:
    """The hooks that homeport calls."""

    @hookspec
    def homeport_backends(self, settings: Settings) -> Iterable[BackendSpec]:
        """Offer inference backends.

        Example:
            >>> from homeport import BackendKind, BackendSpec, hookimpl
            >>> @hookimpl
            ... def homeport_backends():
            ...     yield BackendSpec(name="parrot", kind=BackendKind.REMOTE, factory="parrot.backend:Parrot")
        """
        raise NotImplementedError

    @hookspec
    def homeport_model_sources(self, settings: Settings) -> Iterable[ModelSourceSpec]:
        """Offer places that models are pulled from.

        Example:
            >>> from homeport import ModelSourceSpec, hookimpl
            >>> @hookimpl
            ... def homeport_model_sources():
            ...     yield ModelSourceSpec(name="mirror", factory="mirror.source:Mirror")
        """
        raise NotImplementedError

    @hookspec
    def homeport_routers(self, settings: Settings) -> Iterable[RouterSpec]:
        """Offer ways to rank the backends that could serve a request; ``[gateway] routers`` picks them.

        Example:
            >>> from homeport import RouterSpec, hookimpl
            >>> @hookimpl
            ... def homeport_routers():
            ...     yield RouterSpec(name="cheapest", factory="cheapest.router:Cheapest")
        """
        raise NotImplementedError

    @hookspec
    def homeport_guards(self, settings: Settings) -> Iterable[GuardSpec]:
        """Offer guards; every installed one surrounds each attempt.

        Example:
            >>> from homeport import GuardSpec, hookimpl
            >>> @hookimpl
            ... def homeport_guards():
            ...     yield GuardSpec(name="office-hours", factory="office.guard:OfficeHours")
        """
        raise NotImplementedError

    @hookspec
    def homeport_validators(self, settings: Settings) -> Iterable[ValidatorSpec]:
        """Offer checks of whole answers; ``[gateway] validators`` picks them.

        Example:
            >>> from homeport import ValidatorSpec, hookimpl
            >>> @hookimpl
            ... def homeport_validators():
            ...     yield ValidatorSpec(name="no-apology", factory="tone.validator:NoApology")
        """
        raise NotImplementedError

    @hookspec
    def homeport_monitors(self, settings: Settings) -> Iterable[MonitorSpec]:
        """Offer listeners to events; a slow one loses events and delays nobody.

        Example:
            >>> from homeport import MonitorSpec, hookimpl
            >>> @hookimpl
            ... def homeport_monitors():
            ...     yield MonitorSpec(name="tally", factory="tally.monitor:Tally")
        """
        raise NotImplementedError

    @hookspec
    def homeport_routes(self, settings: Settings) -> Iterable[RouteSpec]:
        """Add routes to the HTTP API.

        Example:
            >>> from homeport import RouteScope, RouteSpec, hookimpl
            >>> @hookimpl
            ... def homeport_routes():
            ...     yield RouteSpec(
            ...         name="bill",
            ...         path="/v1/bill",
            ...         scope=RouteScope.ADMIN,
            ...         factory="bill.route:Bill",
            ...         summary="What was spent",
            ...     )
        """
        raise NotImplementedError

    @hookspec
    def homeport_commands(self, settings: Settings) -> Iterable[CommandSpec]:
        """Add verbs to the command line.

        Example:
            >>> from homeport import CommandSpec, hookimpl
            >>> @hookimpl
            ... def homeport_commands():
            ...     yield CommandSpec(name="bill", factory="bill.command:bill", summary="Show what was spent")
        """
        raise NotImplementedError
