"""Data package: jupyterhub_config.py and the page templates."""
