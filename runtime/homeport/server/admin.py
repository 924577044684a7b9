"""What an operator asks: which plugins there are."""

from aiohttp import web

from homeport.plugin.registry import PluginStatus
from homeport.server.dialects import json_response
from homeport.server.schemas.operations import Plugin, PluginList
from homeport.server.state import RUNTIME


async def plugins(request: web.Request) -> web.StreamResponse:
    """List all installed plugins, the blocked and the broken ones too."""
    return json_response(
        PluginList(data=[_plugin(status) for status in request.app[RUNTIME].registry.plugins])
    )


def _plugin(status: PluginStatus) -> Plugin:
    return Plugin(
        name=status.name,
        distribution=status.distribution,
        version=status.version,
        status=status.state.value,
        cause=status.cause,
        provides=status.provides,
        missing=status.missing,
    )
