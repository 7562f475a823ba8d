"""Start the kernel: `python -m juliabox_kernel -f CONNECTION_FILE`."""

import contextlib

from juliabox_kernel.launch import Launched, launch, program


def main() -> None:
    """Run the kernel until it is shut down."""
    given: Launched | None = None
    with contextlib.suppress(OSError):  # the kernel tries again, and tells
        given = launch(program())  # starts while the kernel's modules are loaded
    from juliabox_kernel.kernel import run  # noqa: PLC0415 - Julia starts first

    run(given)


if __name__ == "__main__":
    main()
