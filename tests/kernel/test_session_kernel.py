"""The Julia kernel in the session image: runs the checks in `inside/` there."""

import subprocess
import sysconfig
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

INSIDE = Path(__file__).parent / "inside"
MEMORY = "1200m"  # one check uses more than that, to be told so

# The image brings no test tools: the host's lie behind its own packages, so they never shadow them.
RUN = "import sys; sys.path.append('/host'); import pytest; sys.exit(pytest.main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def container(julia_image: str) -> Iterator[str]:
    """A container of the session image with this process's test tools at hand."""
    name = f"jbt-kernel-{uuid.uuid4().hex[:8]}"
    subprocess.run(
        ["docker", "run", "--detach", "--rm", "--init", "--name", name, "--memory", MEMORY,
         "--memory-swap", MEMORY, "--network", "none", "--tmpfs", "/tmp:exec,mode=1777",
         "--tmpfs", "/run/juliabox:mode=1777", "--tmpfs", "/home/juser:uid=1000,gid=1000",
         "--user", "1000:1000", "--workdir", "/tmp", "--cap-drop", "ALL",
         "--security-opt", "no-new-privileges",
         "--volume", f"{sysconfig.get_path('purelib')}:/host:ro",
         "--volume", f"{INSIDE}:/inside:ro",
         "--entrypoint", "sleep", julia_image, "600"],
        check=True, capture_output=True,
    )  # fmt: skip
    yield name
    subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)


@pytest.mark.engine
@pytest.mark.parametrize(
    "part", [f.stem.removeprefix("check_") for f in sorted(INSIDE.glob("check_*.py"))]
)
def test_kernel_in_the_session_image(container: str, part: str) -> None:
    done = subprocess.run(
        ["docker", "exec", "--env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", container,
         "python", "-P", "-W", "ignore", "-c", RUN, "-q", "-p", "pytest_timeout", "--timeout=120",
         "-p", "no:cacheprovider", "--rootdir=/inside", "-c", "/dev/null",
         "--override-ini=python_files=check_*.py", f"/inside/check_{part}.py"],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
