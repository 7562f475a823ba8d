"""Package table of JuliaBox: where each import package lives, and every entry point."""

from setuptools import find_packages, setup

# folder -> the import package it holds; one path list that mypy, pytest, wheel and editable share
SOURCE_FOLDERS = {
    "spawner": ["juliabox_spawner", "juliabox_manager"],
    "plugins": ["juliabox_plugins"],
    "services": ["juliabox_services", "juliabox_cli"],
}

# folders whose own name is not importable enough to stand in site-packages
DATA_PACKAGES = {
    "juliabox_images": "images",
    "juliabox_config": "jupyterhub_config",
}

ENTRY_POINTS = {
    "console_scripts": [
        "juliabox = juliabox_cli.main:main",
        "juliabox-api = juliabox_services.api.main:main",
        "juliabox-manager = juliabox_manager.main:main",
        "juliabox-hub = juliabox_spawner.hub_start:main",
        "juliabox-portal = juliabox_services.portal.main:main",
        "juliabox-proxy = juliabox_spawner.proxy_start:main",
        "juliabox-health = juliabox_spawner.health:main",
    ],
    "juliabox.volume": [
        "home = juliabox_plugins.home:HomeDisks",
        "hostdir = juliabox_plugins.hostdir:HostFolders",
    ],
    "jupyterhub.spawners": ["juliabox = juliabox_spawner.spawner:JuliaBoxSpawner"],
    "juliabox.db": [
        "dynamodb = juliabox_plugins.dynamodb:DynamoDB",
        "rdbms = juliabox_plugins.rdbms:Rdbms",
        "usage = juliabox_plugins.usage:Usage",
    ],
    "juliabox.cloud": [
        "ec2 = juliabox_plugins.compute_ec2:Ec2",
        "localdir = juliabox_plugins.bucket_localdir:LocalDirBucketStore",
        "none = juliabox_plugins.dns_none:NoDns",
        "route53 = juliabox_plugins.dns_route53:Route53Dns",
        "s3 = juliabox_plugins.bucket_s3:S3BucketStore",
        "ses = juliabox_plugins.mail_ses:SesMail",
        "singlenode = juliabox_plugins.compute_singlenode:SingleNode",
        "smtp = juliabox_plugins.mail_smtp:SmtpMail",
    ],
    "juliabox.handler": [
        "configuration = juliabox_plugins.configuration:DefaultsPages",
        "github = juliabox_plugins.login_github:GithubLogin",
        "google = juliabox_plugins.login_google:GoogleLogin",
        "linkedin = juliabox_plugins.login_linkedin:LinkedinLogin",
        "native = juliabox_plugins.login_native:NativeLogin",
        "oidc = juliabox_plugins.login_oidc:OidcLogin",
        "zero = juliabox_plugins.login_zero:ZeroLogin",
    ],
    "juliabox.ui": [
        "configuration = juliabox_plugins.configuration:Configuration",
        "session-head = juliabox_plugins.session_head:SessionHead",
        "github = juliabox_plugins.login_github:GithubButton",
        "google = juliabox_plugins.login_google:GoogleButton",
        "linkedin = juliabox_plugins.login_linkedin:LinkedinButton",
        "native = juliabox_plugins.login_native:NativeButton",
        "oidc = juliabox_plugins.login_oidc:OidcButton",
        "zero = juliabox_plugins.login_zero:ZeroButton",
    ],
    "juliabox.task": [
        "cluster-load = juliabox_plugins.cluster_load:ClusterLoad",
        "usage-statistics = juliabox_plugins.usage_statistics:UsageStatistics",
        "disk-use = juliabox_plugins.disk_use:DiskUse",
        "stale-entities = juliabox_plugins.stale_entities:StaleEntities",
        "image-freshness = juliabox_plugins.image_freshness:ImageFreshness",
    ],
}

package_dir = {"juliabox_ext": "juliabox_ext", **DATA_PACKAGES}
packages = ["juliabox_ext", "juliabox_ext.testing", *DATA_PACKAGES]
for folder, names in SOURCE_FOLDERS.items():
    for name in names:
        package_dir[name] = f"{folder}/{name}"
        packages.append(name)
        packages += [f"{name}.{sub}" for sub in find_packages(f"{folder}/{name}")]

setup(
    packages=packages,
    package_dir=package_dir,
    package_data={
        "juliabox_images": ["**/*"],
        "juliabox_config": ["**/*"],
        "juliabox_plugins": [
            "login_templates/*.html",
            "**/static/**/*",
            "**/templates/**/*",
        ],
        "juliabox_spawner": ["proxy_answers.cjs"],
        "juliabox_services": ["portal/static/**/*", "portal/templates/**/*"],
        "juliabox_ext.testing": ["fake_static/*", "fake_templates/*"],
        "": ["py.typed", "*.yaml"],
    },
    include_package_data=True,
    entry_points=ENTRY_POINTS,
)
