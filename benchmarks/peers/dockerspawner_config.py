"""The peer: plain DockerSpawner on the same session image, with nothing tuned but what it needs."""

import os

c = get_config()  # noqa: F821

c.JupyterHub.spawner_class = "docker"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"bench"}
c.JupyterHub.bind_url = "http://0.0.0.0:8000"
c.JupyterHub.hub_ip = "0.0.0.0"
c.JupyterHub.hub_connect_ip = os.environ["PEER_HUB_ADDRESS"]
c.JupyterHub.db_url = "sqlite:////tmp/peer.sqlite"
c.JupyterHub.cookie_secret_file = "/tmp/peer_cookie_secret"
c.JupyterHub.concurrent_spawn_limit = 100
c.JupyterHub.services = [{"name": "bench", "api_token": os.environ["PEER_TOKEN"], "admin": True}]
c.DockerSpawner.image = os.environ["PEER_IMAGE"]
c.DockerSpawner.network_name = os.environ["PEER_NETWORK"]
c.DockerSpawner.prefix = os.environ["PEER_PREFIX"]
c.DockerSpawner.remove = True
c.DockerSpawner.pull_policy = "never"
c.DockerSpawner.mem_limit = "1G"
c.DockerSpawner.cmd = ["jupyterhub-singleuser"]
# the image's entry program waits for a manager, which a peer does not have
c.DockerSpawner.extra_create_kwargs = {"entrypoint": ["tini", "--"], "user": "1000"}
# memory stands in for a volume: it costs the peer nothing, and it owns no files of other runs
c.DockerSpawner.extra_host_config = {
    "tmpfs": {"/run/juliabox": "uid=1000,mode=0700", "/home/juser": "uid=1000,mode=0700"}
}
c.DockerSpawner.notebook_dir = "/home/juser"
c.DockerSpawner.start_timeout = 120
c.DockerSpawner.http_timeout = 120
