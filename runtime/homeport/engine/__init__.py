"""The token engine that runs inside a worker: one step for all sequences of one model."""
