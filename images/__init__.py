"""Data package: Dockerfiles and what goes into the images; read with importlib.resources."""
