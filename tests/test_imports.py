"""What imports load: nothing optional, nothing heavy, and the public names on first use."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import dinoseek
from dinoseek import errors

OPTIONAL = {
    "torch", "transformers", "onnxruntime", "openvino", "faiss", "ray", "pymilvus", "django",
}  # fmt: skip
# Besides the standard library. Each further one needs a reason and a look at the time of --help.
ALLOWED_BY_HELP = {"dinoseek", "click"}


def loaded_by(statement: str) -> set[str]:
    """Names of the top-level modules that a fresh interpreter loads for `statement`."""
    program = (
        f"import sys\nbefore = set(sys.modules)\ntry:\n    {statement}\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "import json\nsys.stderr.write(json.dumps(sorted(names)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr))


def test_importing_dinoseek_loads_nothing_but_typing_and_importlib() -> None:
    allowed = loaded_by("import importlib, typing") | {"dinoseek"}
    assert loaded_by("import dinoseek") <= allowed


HELP = "sys.argv = ['dinoseek', '--help']; from dinoseek.cli.main import main; main()"


def test_help_of_the_command_loads_no_numpy_and_nothing_optional() -> None:
    loaded = loaded_by(HELP)
    assert not loaded & (OPTIONAL | {"numpy", "PIL", "huggingface_hub", "safetensors"})
    assert loaded - set(sys.stdlib_module_names) <= ALLOWED_BY_HELP


def test_all_public_names_together_load_nothing_optional() -> None:
    loaded = loaded_by("import dinoseek; [getattr(dinoseek, name) for name in dinoseek.__all__]")
    assert "numpy" in loaded  # or the probe saw nothing
    assert not loaded & OPTIONAL


@pytest.mark.parametrize("name", dinoseek.__all__)
def test_public_name_resolves(name: str) -> None:
    assert getattr(dinoseek, name) is not None


def test_public_names_are_sorted_and_unique() -> None:
    assert dinoseek.__all__ == sorted(set(dinoseek.__all__))
    assert set(dinoseek.__all__) <= set(dir(dinoseek))


def names_for_type_checkers() -> dict[str, str]:
    """Name to module of each import under `if TYPE_CHECKING:` in dinoseek/__init__.py."""
    tree = ast.parse(Path(dinoseek.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_type_checkers_see_the_names_that_exist_at_run_time() -> None:
    assert names_for_type_checkers() == dinoseek._HOME
    assert {*dinoseek._HOME, "__version__"} == set(dinoseek.__all__)


def test_every_error_is_public() -> None:
    tree = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.DinoseekError)
    }
    assert tree <= set(dinoseek.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        dinoseek.serach  # noqa: B018 - the access is the test


@pytest.mark.parametrize(
    ("name", "module"), [("search", "dinoseek.search"), ("ingest", "dinoseek.ingest.pipeline")]
)
def test_importing_a_module_does_not_hide_the_function_of_its_name(name: str, module: str) -> None:
    program = (
        f"import {module}, dinoseek; assert callable(dinoseek.{name}); dinoseek.{name}.__name__"
    )
    for prefix in ("", f"import dinoseek; dinoseek.{name}; "):
        subprocess.run([sys.executable, "-c", prefix + program], check=True)
