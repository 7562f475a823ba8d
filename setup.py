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
        "juliabox-manager = juliabox_manager.main:main",
        "juliabox-hub = juliabox_spawner.hub_start:main",
        "juliabox-portal = juliabox_services.portal.main:main",
        "juliabox-proxy = juliabox_spawner.proxy_start:main",
        "juliabox-health = juliabox_spawner.health:main",
    ],
    "jupyterhub.spawners": ["juliabox = juliabox_spawner.spawner:JuliaBoxSpawner"],
    "juliabox.db": [
        "rdbms = juliabox_plugins.rdbms:Rdbms",
    ],
    "juliabox.cloud": [
        "singlenode = juliabox_plugins.compute_singlenode:SingleNode",
        "smtp = juliabox_plugins.mail_smtp:SmtpMail",
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
        "": ["py.typed", "*.yaml"],
    },
    include_package_data=True,
    entry_points=ENTRY_POINTS,
)
