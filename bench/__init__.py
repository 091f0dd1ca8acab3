"""The benchmarks: ``make bench``, ``bench-http`` and ``bench-revocation``; see docs/explanation/performance.md."""
