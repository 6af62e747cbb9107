"""The rules that hold for every file of the project, and that no other tool checks."""

import ast
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "dinoseek"
MODULES = sorted(SOURCE.rglob("*.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EMPTY_WORDS = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "misc",
    "core",
    "registry",
    "base_classes",
}

each_module = pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: path.relative_to(SOURCE).as_posix()
)


@each_module
def test_module_is_short_has_a_telling_name_and_says_what_it_knows(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 300
    assert path.stem not in EMPTY_WORDS
    first = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0]
    assert first.rstrip(":").endswith((".", ")", "dinoseek")), "the docstring opens with a sentence"


@each_module
def test_functions_are_short(path: Path) -> None:
    for function in functions(path):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        assert lines <= 30, f"{function.name} has {lines} lines"


@each_module
def test_only_the_command_line_prints_and_nothing_asserts(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    assert not any(isinstance(node, ast.Assert) for node in nodes)
    calls = {
        node.func.id
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "cli" in path.parts or not calls & {"print", "exit", "quit", "input"}


@each_module
def test_arguments_that_a_docstring_lists_exist(path: Path) -> None:
    for function in functions(path):
        section = re.search(
            r"\n\s*Args:\n((?:\s+\S.*\n?)+)", ast.get_docstring(function, clean=False) or ""
        )
        listed = set(re.findall(r"^\s+`?(\w+)`?:", section[1], re.MULTILINE)) if section else set()
        assert listed <= parameters(function), function.name


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    spec = function.args
    named = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
    return {argument.arg for argument in [*named, spec.vararg, spec.kwarg] if argument}


def test_every_layer_of_the_design_is_a_file_or_folder_or_marked_as_to_come() -> None:
    layers = " | ".join(PYPROJECT["tool"]["importlinter"]["contracts"][0]["layers"]).split(" | ")
    present = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or path.is_dir()}
    present -= {"__init__", "__pycache__"}
    assert {name for name in layers if not name.startswith("(")} == present
    assert not {name.strip("()") for name in layers if name.startswith("(")} & present


def test_locked_versions_carry_hashes_and_name_no_index() -> None:
    for name in ("dev.txt", "bench.txt"):
        entries = re.split(r"\n(?=\S)", (ROOT / "requirements" / name).read_text("utf-8"))
        pins = [entry for entry in entries if not entry.startswith("#")]
        assert pins
        assert all(re.match(r"[\w.-]+==\S+", pin) and "--hash=sha256:" in pin for pin in pins)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name
)
def test_list_of_versions_names_no_address_and_no_folder(path: Path) -> None:
    assert not re.search(
        r"://|index-url|find-links|@ |^[./]", path.read_text("utf-8"), re.MULTILINE
    )


def test_lock_has_every_dependency_and_the_build_backend() -> None:
    pins = set(
        re.findall(
            r"^([\w.-]+)==", (ROOT / "requirements/dev.txt").read_text("utf-8"), re.MULTILINE
        )
    )
    wanted = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["build-system"]["requires"]]
    names = {re.split(r"[\[<>=~! ]", line)[0].replace("_", "-").lower() for line in wanted}
    assert names <= pins


def test_version_is_known_to_the_package_and_the_changelog_is_open() -> None:
    assert version("dinoseek") == PYPROJECT["project"]["version"]
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_make_help_is_the_default_and_shows_every_target() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    shown = set(re.findall(r"^  make ([a-z-]+) ", done.stdout, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony
    assert shown | {"help"} >= set(phony[1].split()) - {"docs-check"}


def test_ci_script_can_be_started() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs/adr").glob("*.md")), ids=lambda path: path.stem
)
def test_decision_record_is_short_and_says_what_was_rejected(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 25
    assert re.findall(r"^#+ (.*)$", text, re.MULTILINE)[1:] == [
        "Context",
        "Decision",
        "Consequences",
        "Rejected",
    ]
    assert text.startswith(f"# {int(path.stem[:4])}. ")
