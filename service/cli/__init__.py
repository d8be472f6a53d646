"""The command line: a module for each command, and what only they need."""

from service.cli.application import main

__all__ = ["main"]
