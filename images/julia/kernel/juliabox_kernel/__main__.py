"""Start the kernel: `python -m juliabox_kernel -f CONNECTION_FILE`."""

from ipykernel.kernelapp import IPKernelApp

from juliabox_kernel.kernel import JuliaKernel


def main() -> None:
    """Run the kernel until it is shut down."""
    IPKernelApp.launch_instance(kernel_class=JuliaKernel, capture_fd_output=False)


if __name__ == "__main__":
    main()
