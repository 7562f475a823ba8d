"""Tasks of plugins: when they run, in which processes, and what came of it.

Nothing is imported here: a run's process starts by :mod:`juliabox_manager.tasks.runner`, and its
guardian should stay small.
"""
