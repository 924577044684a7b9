"""The contract for plugin authors: hooks declare, objects do."""
