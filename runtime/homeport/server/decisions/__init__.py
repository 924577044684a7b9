"""Typed decisions: questions about a state, answered by the probabilities of single tokens."""
