"""The example package is built and tested as a stranger's: in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from support.wheels import EXAMPLE, ROOT, build

#: What JuliaBox's own wheel is made of.
SOURCES = (
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "setup.py",
    "images",
    "juliabox_ext",
    "jupyterhub_config",
    "plugins",
    "services",
    "spawner",
)


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with the wheels of JuliaBox and of the example.

    What they need is taken from the environment of this run, without JuliaBox's own checkout.
    """
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "juliabox").mkdir()
    (folder / "project").mkdir()
    for name in SOURCES:
        (folder / "project" / name).symlink_to(ROOT / name)
    wheels = [build(folder / "project", folder / "juliabox")]
    (folder / "greeting").mkdir()
    wheels.append(build(EXAMPLE, folder / "greeting"))
    environment = folder / "venv"
    venv.create(environment)
    made = environment / "bin" / "python"
    site = Path(run(str(made), "-c", "import site; print(site.getsitepackages()[0])", cwd=folder))
    others = Path(str(site).strip()) / "zz_others.pth"
    others.write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--python", str(made), "install", "--quiet", "--no-deps")
    run(*pip, "--no-index", "--force-reinstall", *map(str, wheels), cwd=folder)
    return made


def test_its_own_tests_pass_beside_the_wheel_of_juliabox(python: Path, tmp_path: Path) -> None:
    where = "import juliabox_ext, juliabox_greeting as g; print(juliabox_ext.__file__, g.__file__)"
    for file in run(str(python), "-P", "-c", where, cwd=tmp_path).split():
        assert file.startswith(str(python.parents[1])), file
    options = ["-q", "-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function"]
    command = [str(python), "-P", "-B", "-m", "pytest", *options, "--rootdir", str(tmp_path)]
    said = run(*command, "-c", "/dev/null", str(EXAMPLE / "tests"), cwd=tmp_path)
    assert " passed" in said and "failed" not in said


def test_it_is_listed_with_its_package_and_imports_nothing(python: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom juliabox_ext import catalog\n"
        "found = [one for one in catalog.available() if one.name == 'greeting']\n"
        "print(*sorted({f'{one.group} {one.distribution}' for one in found}), sep='\\n')\n"
        "assert not any(name.startswith('juliabox_greeting') for name in sys.modules)\n"
    )
    assert run(str(python), "-P", "-c", code, cwd=tmp_path).splitlines() == [
        "juliabox.handler juliabox-greeting",
        "juliabox.task juliabox-greeting",
        "juliabox.ui juliabox-greeting",
    ]
