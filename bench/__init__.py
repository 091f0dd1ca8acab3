"""The benchmarks: ``make bench``, ``bench-http``, ``bench-revocation`` and ``bench-authority``.

How to read them: docs/explanation/performance.md.
"""
