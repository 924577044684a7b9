"""What third parties need to test their plugins.

``EchoBackend`` answers without a model, ``ScriptedBackend`` fails on command, ``run_virtual`` makes time pass
without waiting, ``tiny_model`` is a whole local model of a few kilobytes, and the
contracts of both kinds of backend are classes of tests to inherit: ``backend_conformance.BackendConformance``
and ``token_model_conformance.TokenModelConformance``. They import pytest, so they are not imported here.
"""

from homeport.testing.echo import EchoBackend, EchoPlugin
from homeport.testing.script import Fault, Script, drawn_scripts
from homeport.testing.scripted import ScriptedBackend, ScriptedCall
from homeport.testing.virtual_time import HangError, in_virtual_time, run_virtual

__all__ = [
    "EchoBackend",
    "EchoPlugin",
    "Fault",
    "HangError",
    "Script",
    "ScriptedBackend",
    "ScriptedCall",
    "drawn_scripts",
    "in_virtual_time",
    "run_virtual",
]
