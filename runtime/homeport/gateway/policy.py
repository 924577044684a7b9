"""What a reload of the settings replaces in the gateway, as one value."""

import attrs

from homeport.config.gateway_settings import GatewaySettings
from homeport.gateway.routing.planner import RoutePlanner
from homeport.gateway.validation import Validation
from homeport.plugin.protocols import Guard


@attrs.frozen(kw_only=True)
class GatewayPolicy:
    """How requests are served from now on; those that run keep the policy that they began with.

    Attributes:
        settings: Bounds, times and chains.
        planner: Decides who serves a request.
        guards: Surround every attempt, in order.
        validation: Checks whole answers.
    """

    settings: GatewaySettings
    planner: RoutePlanner
    guards: tuple[Guard, ...]
    validation: Validation
