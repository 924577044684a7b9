"""Commands that measure homeport, one for each kind of figure.

Run them from the checkout: ``python -m benchmarks.engine --json``, or ``python benchmarks/engine.py --json``.
``python -m benchmarks.models`` makes what they run, and ``python -m benchmarks.report`` writes
docs/explanation/performance.md from what they print.
"""
