"""The command line: a client of the host, or a host for the length of one command."""

from homeport.cli.application import main

__all__ = ["main"]
