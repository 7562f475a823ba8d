"""Hub side of JuliaBox: the spawner, its manager client and the hub's configuration."""
