"""Which model serves a request: by rules, by its complexity, by load, by strategy, by what is remembered."""
