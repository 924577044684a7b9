"""``POST /v1/config/reload``: the settings read anew."""

import http

from aiohttp import web

from homeport.domain.errors import ConfigError, PluginError
from homeport.server.dialects import json_response
from homeport.server.schemas.reload import ReloadAnswer, ReloadRefusal
from homeport.server.state import RUNTIME


async def reload(request: web.Request) -> web.StreamResponse:
    """Apply the settings as they are written now, or say what is wrong with them and change nothing."""
    try:
        report = await request.app[RUNTIME].reload.run()
    except (ConfigError, PluginError) as error:
        refusal = ReloadRefusal(
            faults=tuple(error.message.splitlines()),
            error="the settings were not reloaded, the old ones stay in force",
        )
        return json_response(refusal, status=http.HTTPStatus.CONFLICT)
    return json_response(
        ReloadAnswer(applied=report.applied, needs_restart=report.needs_restart, warnings=report.warnings)
    )
