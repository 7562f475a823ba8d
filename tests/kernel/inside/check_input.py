"""Standard input: lines from the person."""

from conftest import Notebook


def answer(kernel: Notebook, code: str, *lines: str):
    request = kernel.send(code, allow_stdin=True)
    questions = []
    for line in lines:
        questions.append(kernel.client.get_stdin_msg(timeout=60)["content"])
        kernel.client.input(line)
    return kernel.until_idle(request), questions


def test_readline_asks_the_person(kernel: Notebook) -> None:
    outcome, questions = answer(kernel, 'print("Name? "); "hello " * readline()', "Zoë 🎈")
    assert outcome.result == {"text/plain": '"hello Zoë 🎈"'}
    assert questions[0]["password"] is False


def test_several_lines_are_asked_one_by_one(kernel: Notebook) -> None:
    outcome, questions = answer(kernel, "[parse(Int, readline(stdin)) for _ in 1:3]", *"123")
    assert outcome.result is not None
    assert outcome.result["text/plain"].split("\n")[1:] == [" 1", " 2", " 3"]
    assert len(questions) == 3


def test_password_is_not_shown(kernel: Notebook) -> None:
    code = 'read(Base.getpass("Key"), String)'
    outcome, questions = answer(kernel, code, "s3cret")
    assert questions[0] == {"prompt": "Key: ", "password": True}
    assert outcome.result == {"text/plain": '"s3cret"'}


def test_end_of_input(kernel: Notebook) -> None:
    outcome, _ = answer(kernel, "eof(stdin)", "\x04")
    assert outcome.result == {"text/plain": "true"}


def test_input_that_is_not_offered_is_an_error(kernel: Notebook) -> None:
    outcome = kernel.run("readline()")
    assert outcome.reply["content"]["ename"] == "InputNotAllowed"


def test_question_can_be_interrupted(kernel: Notebook) -> None:
    request = kernel.send("readline()", allow_stdin=True)
    kernel.client.get_stdin_msg(timeout=60)
    kernel.manager.interrupt_kernel()
    outcome = kernel.until_idle(request)
    assert outcome.reply["content"]["ename"] == "InterruptException"
    again, _ = answer(kernel, "readline()", "fresh answer")
    assert again.result == {"text/plain": '"fresh answer"'}


def test_child_process_gets_no_input(kernel: Notebook) -> None:
    assert kernel.run("run(`cat`);").status == "ok"
