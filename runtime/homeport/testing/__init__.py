"""What third parties need to test their plugins.

``EchoBackend`` answers without a model, ``tiny_model`` is a whole local model of a few kilobytes, and the
contracts of both kinds of backend are classes of tests to inherit: ``backend_conformance.BackendConformance``
and ``token_model_conformance.TokenModelConformance``. They import pytest, so they are not imported here.
"""

from homeport.testing.echo import EchoBackend, EchoPlugin

__all__ = ["EchoBackend", "EchoPlugin"]
