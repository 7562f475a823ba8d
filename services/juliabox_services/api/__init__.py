"""The REST API engine: Julia functions that people publish, called over HTTP.

A service of the hub. ``records`` keeps what is published, ``engine`` has the containers and carries
calls to their workers, ``front`` speaks HTTP; ``models`` is what they hand each other.
"""
