"""Answers that are not JSON are the same in a notebook and in an API container."""

from pathlib import Path

IMAGES = Path(__file__).resolve().parents[2] / "images"


def test_a_notebook_has_the_kinds_of_answers_that_the_api_image_has() -> None:
    ours = (IMAGES / "julia/packages/JuliaBox/src/content.jl").read_text()
    theirs = (IMAGES / "julia-api/worker/packages/JuliaBoxWorker/src/JuliaBox.jl").read_text()
    body = ours.partition("\n\n")[2].rstrip()
    assert body.startswith("export Content, Stream")
    assert body in theirs, "copy the body of the API image's module JuliaBox"
