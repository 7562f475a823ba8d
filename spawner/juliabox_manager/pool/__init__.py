"""Warm containers: started and loaded beforehand, and nobody's until a session claims one."""
