"""The kernel against the public suite for Jupyter kernels."""

import jupyter_kernel_test as jkt


class JuliaKernelTests(jkt.KernelTests):
    kernel_name = "julia"
    language_name = "julia"
    file_extension = ".jl"
    code_hello_world = 'println("hello, world")'
    code_stderr = 'println(stderr, "oops")'
    code_page_something = ""
    code_generate_error = 'error("x")'
    code_execute_result = ({"code": "6*7", "result": "42"}, {"code": "1+2", "result": "3"})
    code_display_data = (
        {"code": 'display(MIME("text/html"), "<b>x</b>")', "mime": "text/html"},
        {"code": 'display(MIME("image/png"), UInt8[1])', "mime": "image/png"},
    )
    completion_samples = ({"text": "printl", "matches": {"println"}},)
    complete_code_samples = ("1", "x = 2", "f(x) = 3")
    incomplete_code_samples = ("function f()", "begin")
    invalid_code_samples = ("import = 7q", "x = )")
    code_inspect_sample = "println"
    code_history_pattern = "6?7*"
    supported_history_operations = ("tail", "range", "search")
    code_clear_output = "IJulia.clear_output()"
