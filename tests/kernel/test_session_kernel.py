"""The Julia kernel in the session image: runs the checks in `inside/` there."""

import subprocess
import sysconfig
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

INSIDE = Path(__file__).parent / "inside"
PARTS = sorted(file.stem.removeprefix("check_") for file in INSIDE.glob("check_*.py"))
MEMORY = "1200m"  # one check uses more than that, to be told so
AT_ONCE = 3  # the checks wait more than they compute

# The image brings no test tools: the host's lie behind its own packages, so they never shadow them.
RUN = "import sys; sys.path.append('/host'); import pytest; sys.exit(pytest.main(sys.argv[1:]))"

Finished = subprocess.CompletedProcess[str]


def run_inside(image: str, part: str, name: str) -> Finished:
    """Run one file of checks in a container of its own."""
    return subprocess.run(
        ["docker", "run", "--rm", "--init", "--name", name, "--memory", MEMORY,
         "--memory-swap", MEMORY, "--network", "none", "--tmpfs", "/tmp:exec,mode=1777",
         "--tmpfs", "/run/juliabox:mode=1777", "--tmpfs", "/home/juser:uid=1000,gid=1000",
         "--user", "1000:1000", "--workdir", "/tmp", "--cap-drop", "ALL",
         "--security-opt", "no-new-privileges", "--env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1",
         "--volume", f"{sysconfig.get_path('purelib')}:/host:ro",
         "--volume", f"{INSIDE}:/inside:ro", "--entrypoint", "python", image,
         "-P", "-W", "ignore", "-c", RUN, "-q", "-p", "pytest_timeout", "--timeout=240",
         "-p", "no:cacheprovider", "--rootdir=/inside", "-c", "/dev/null", "--durations=4",
         "--override-ini=python_files=check_*.py", f"/inside/check_{part}.py"],
        capture_output=True, text=True, timeout=580, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(julia_image: str, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Finished]]]:
    """The chosen parts, started together; each test awaits its own."""
    chosen = {item.callspec.params["part"] for item in request.session.items
              if isinstance(item, pytest.Function) and item.path == Path(__file__)}  # fmt: skip
    names = {part: f"jbt-kernel-{uuid.uuid4().hex[:8]}" for part in chosen}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        longest_first = sorted(chosen, key=lambda part: part != "life")
        yield {
            part: pool.submit(run_inside, julia_image, part, names[part]) for part in longest_first
        }
        pool.shutdown(wait=False, cancel_futures=True)
        subprocess.run(
            ["docker", "rm", "--force", *names.values()], capture_output=True, check=False
        )


@pytest.mark.engine
@pytest.mark.alone  # its parts run beside each other already
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", PARTS)
def test_kernel_in_the_session_image(runs: dict[str, "Future[Finished]"], part: str) -> None:
    done = runs[part].result()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    print(done.stdout)
