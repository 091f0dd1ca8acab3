"""The benchmark: ``make bench`` and ``make bench-http``. How to read it: docs/explanation/performance.md."""
