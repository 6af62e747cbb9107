"""The documentation does what it says: its code runs, its commands parse, its links resolve."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from dinoseek.vit.config import ViTConfig
from dinoseek.weights.infer import tensor_shapes
from dinoseek.weights.load import save_params
from dinoseek.weights.naming import nest

ROOT = Path(__file__).parents[1]
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
WITH_EXAMPLES = [README, CHINESE, *sorted(ROOT.glob("docs/*.md"))]

# Pages whose examples run other runtimes than the package needs.
NEEDS = {"export.md": ("onnx", "onnxruntime", "openvino")}

# Examples name the model that a reader would use; here they run without any weights.
MODEL, STAND_IN = re.compile(r'"dinov2-[a-z-]+"'), '"color-histogram"'


def each(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "page", pages, ids=lambda page: page.relative_to(ROOT).as_posix()
    )


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that examples speak of, in a folder of their own which is the current one."""
    (tmp_path / "photos").mkdir()
    names = [*(f"photos/{number}.jpg" for number in range(12)), "cat.jpg", "dog.jpg"]
    for seed, name in enumerate(names):
        noise = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), np.uint8)
        Image.fromarray(noise).resize((320, 256)).save(tmp_path / name)
    write_weights(tmp_path / "tuned.safetensors")
    monkeypatch.chdir(tmp_path)


def write_weights(path: Path) -> None:
    """A tiny random model, for examples that cannot do without one."""
    config = ViTConfig(embed_dim=64, depth=1, num_heads=1, hidden_dim=16, grid=5)
    rng = np.random.default_rng(0)
    shapes = tensor_shapes(config).items()
    flat = {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes}
    save_params(path, nest(flat), config)


@each(WITH_EXAMPLES)
@pytest.mark.usefixtures("pictures")
def test_python_examples_of_a_page_run_in_order(page: Path) -> None:
    for module in NEEDS.get(page.name, ()):
        pytest.importorskip(module)
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(MODEL.sub(STAND_IN, block), str(page), "exec"), names)


@each(PAGES)
def test_commands_of_a_page_parse(page: Path) -> None:
    for words in commands(page):
        if words[0] == "dinoseek":
            parse(words[1:])
        elif words[0] == "make":
            assert {word for word in words[1:] if re.fullmatch(r"[a-z-]+", word)} <= make_targets()


@each(PAGES)
def test_links_of_a_page_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'(?:src|href)="([^"]+)"', text)]
    for target in targets:
        path, _, anchor = target.partition("#")
        if ":" in path:
            continue
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_the_chinese_readme_says_the_same() -> None:
    english, chinese = README.read_text("utf-8"), CHINESE.read_text("utf-8")
    levels = re.compile(r"^(#+) ", re.MULTILINE)
    assert levels.findall(without_blocks(chinese)) == levels.findall(without_blocks(english))
    fences = re.compile(r"^```(\w*)$", re.MULTILINE)
    assert fences.findall(chinese) == fences.findall(english)
    assert list(commands(CHINESE)) == list(commands(README))
    numbers = re.compile(r"(?<![\w.-])\d[\d.,]*\d(?![\w-])")
    assert sorted(numbers.findall(chinese)) == sorted(numbers.findall(english))


def test_the_command_line_page_is_what_help_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cogapp", "--check", "docs/cli.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"run make docs: {done.stdout}{done.stderr}"


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page that are in one of the languages."""
    fenced = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
    found = fenced.findall(page.read_text("utf-8"))
    return [text for language, text in found if language in languages]


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command: what follows `$ ` in console blocks, each line of bash ones."""
    for block in blocks(page, "console"):
        lines = block.replace("\\\n", " ").splitlines()
        for line in lines:
            if line.startswith("$ "):
                yield from split(line[2:])
    for block in blocks(page, "bash", "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            yield from split(line)


def split(line: str) -> Iterator[list[str]]:
    """The commands of one shell line, taken apart at pipes, lists and redirections."""
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), ";"]:
        if word not in {"|", "&&", "||", ";", ">", "<"}:
            words.append(word)
        elif words:
            yield words
            words = []


def parse(words: list[str]) -> None:
    """Fails unless the command exists and knows every flag."""
    from dinoseek.cli.main import program

    command: click.Command = program
    context = click.Context(program)
    words = list(words)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        below = command.get_command(context, words[0])
        if below is None and command.name == "train":  # whose first word may be left out
            below, words = command.get_command(context, "run"), ["run", *words]
        assert below, f"no such command: {words[0]}"
        command, context, words = below, click.Context(below, context), words[1:]
    command.make_parser(context).parse_args(words)


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def anchors(page: Path) -> set[str]:
    """The fragments under which a page's headings can be linked to."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
