"""Stands for a package that the images leave out: see ``images/lock.sh``."""

raise ImportError("left out of the images")
