"""The commented ``config.yaml`` that the first ``juliabox up`` writes."""

TEMPLATE = """\
# Configuration of JuliaBox. Every key may be left out; what stands here are the defaults.
# After an edit: `juliabox config validate`, then `juliabox up` (or `make up`), which replaces
# only the parts that the edit concerns. Sizes: 512M, 2G. Durations: 90s, 15m, 1h, 7d.

# Name of this installation: prefix of its containers and networks. Two installations on one
# machine need two names, two ports and two state folders. Not to be changed after the first start.
name: juliabox

# Address and port to listen on. 127.0.0.1 is this machine alone; 0.0.0.0 is everybody who can
# reach it: then set https, too.
bind: 127.0.0.1
port: 8000

# Address that people type, if it differs from bind and port (behind another proxy, say).
public_url: ""

# Own certificate (PEM files). HTTPS is on when both are set.
https:
  certificate: ""
  key: ""

# A host such as https://julia.example.org: each person then gets a subdomain of it, which protects
# people from each other's pages. It needs a wildcard DNS entry (and certificate).
subdomain_host: ""

# Path under which everything lives, such as /julia/.
base_url: /

authentication:
  # native: names and passwords kept here. zero: any name and no password, on a loopback bind only.
  # google, github, linkedin, oidc: at a provider, set up in plugins.settings. Several as a list:
  # [native, oidc].
  login: native
  # The first admin; the password is generated and shown by the first `juliabox up`.
  admin: admin
  # Whether people may sign up: approval (an admin authorises them), open, closed.
  signup: approval
  # How many accounts an hour open sign-up lets in at once; whoever comes after them waits for a
  # turn, which comes by itself. 0 means no bound.
  signup_rate: 60
  # After so many wrong passwords a name is locked for lock_time, for the address that they came
  # from; after twenty times as many, for everybody. 0 never locks.
  failed_before_lock: 5
  lock_time: 5m

# Limits of one session. disk is the size of a person's home.
sessions:
  memory: 1G
  cpu: 1.0
  pids: 256
  disk: 2G
  # Stop a session that did nothing for so long; 0 never. A busy kernel is not idle.
  idle_timeout: 30m
  # Stop a session of this age; 0 never.
  max_age: 0
  # Further servers that a person may name and run; 0 turns them off.
  named_servers: 3
  start_timeout: 2m
  # A start that finds no room, or too many others at work, waits in a queue for so long.
  queue_timeout: 10m
  # Starts that work at the same time; 0: twice as many as there are processors, at least 4.
  concurrent_starts: 0

# No session gets more than this, whatever profiles, groups or the hub say. A limit left out is
# the largest that is configured in this file.
ceilings: {}
#  memory: 8G
#  cpu: 4
#  pids: 1024
#  disk: 20G

# All sessions together. memory 0 means that promised memory may exceed what the machine has.
capacity:
  sessions: 100
  sessions_per_owner: 5
  memory: 0
  # Starts are refused when less than this is free in the state folder.
  disk_reserve: 1G

# Warm containers: started beforehand, with nothing of anybody's, so that a session opens in under
# a second. Sessions go first: the pool takes only what they leave.
pool:
  # demand: as many as were started at this hour of the last days, and size at least; fixed: size.
  rule: demand
  # For each image; 0 switches the pool off.
  size: 2
  # Warm containers of all images together.
  maximum: 10
  # What they may hold in all. auto: a quarter of the machine's memory, and 2G at most.
  memory: auto
  # Whether each has a Julia ready, too: about 300M more for each, and no wait for the first cell.
  kernel: true

# Choices at the start of a session; a limit left out is that of `sessions`.
profiles: []
#  - slug: large
#    name: Large
#    description: For big data
#    memory: 4G
#    cpu: 2
#    groups: [lab]
#    users: [ada]
#    image: my/image
#    pool: 1

# Limits for the members of a group; the highest of a person's groups counts.
groups: {}
#  lab:
#    memory: 2G

# Limits of single people, which replace those of their groups.
users: {}
#  ada:
#    disk: 10G

network:
  # Whether sessions may reach the internet.
  internet: true
  # Private networks that sessions may reach all the same, and networks that they may never reach.
  allow: []
  deny: []
  # Addresses of this installation's own networks: auto, or a free network such as 10.80.0.0/20.
  subnet: auto

volumes:
  # How long the home of a deleted person is kept.
  deletion_grace: 7d
  inodes_per_gib: 65536

# Published APIs: functions that people with the role api-publisher let programs call.
apis:
  # false: the API engine does not run, and no session is told of it.
  enabled: true
  # Whether published functions may reach the internet.
  internet: false
  # Time of one call, and memory of one container: unless an API says otherwise, and at most.
  timeout: 30s
  longest_timeout: 10m
  memory: 512M
  most_memory: 2G
  # Cores, and processes and threads, of each container.
  cpu: 1.0
  pids: 128
  # Most containers of one API unless it says otherwise, of one publisher, and of all.
  containers_per_api: 8
  containers_per_publisher: 8
  containers: 50
  # Calls of one publisher's APIs that may wait or run at one time; others are told to come again.
  outstanding: 200
  # APIs of one publisher, and versions that are kept of each.
  apis_per_publisher: 20
  versions: 50
  # Largest body of a request, and largest result.
  body: 4M
  result: 16M
  # Calls of one caller in a minute, unless an API says otherwise.
  rate: 600
  # A container goes after so long without a call.
  idle: 5m
  # How long a source may take to load.
  load_timeout: 1m

images:
  # Which Julia: official (with IJulia), debian, or auto (official where it can be reached). Left
  # out, the variable JULIA_SOURCE decides, else auto.
#  julia_source: auto
  # Pull images from this registry instead of building them; or load them from a folder of archives.
  registry: ""
  folder: ""

# Plugins; `juliabox plugin list` shows which ones are installed.
plugins:
  # Names of plugins to use beside the usual ones, and of usual ones not to use.
  enable: []
  disable: []
  # Without these nothing starts; any other that fails is left out and reported.
  required: []
  # Name -> settings of that plugin; `juliabox plugin info NAME` tells which it has.
  settings: {}
#    smtp:
#      host: mail.example.org
  # Python packages that bring plugins; `juliabox plugin install` adds to this list.
  install: []

# A line shown on top of every page.
announcement: ""

# debug, info, warning or error.
log_level: info
"""
