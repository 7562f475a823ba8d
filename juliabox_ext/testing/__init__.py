"""Fakes and contract suites for authors of plugins; a suite is a class of pytest tests."""
