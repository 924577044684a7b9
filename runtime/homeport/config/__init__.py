"""The settings tree, how it is loaded, and where each value came from."""
