"""What may be asked of an export, and what is refused in one line."""

from pathlib import Path

import pytest

from dinoseek.errors import UsageError
from dinoseek.export.options import ExportOptions, check_size, format_of, parse_size
from dinoseek.vit.config import SIZES


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("m.onnx", "onnx"),
        ("m.xml", "openvino"),
        ("m.npz", "npz"),
        ("a.safetensors", "safetensors"),
    ],
)
def test_the_suffix_says_the_format(name, format):
    assert format_of(Path(name)) == format
    assert format_of(Path(name), format) == format


@pytest.mark.parametrize(
    ("name", "format", "words"),
    [
        ("m.pth", None, "its name says no format"),
        ("m", None, "its name says no format"),
        ("m.onnx", "openvino", "name it m.xml"),
        ("model", "onnx", "name it model.onnx"),
    ],
)
def test_a_name_that_says_something_else_is_refused(name, format, words):
    with pytest.raises(UsageError, match=words) as caught:
        format_of(Path(name), format)

    assert caught.value.code == "export.suffix"


@pytest.mark.parametrize(
    ("format", "precision"), [("npz", "bfloat16"), ("npz", "int8"), ("safetensors", "int8")]
)
def test_a_precision_that_the_format_has_not_is_refused_and_others_named(format, precision):
    with pytest.raises(UsageError, match="use one of fp32") as caught:
        ExportOptions(format=format, precision=precision)

    assert caught.value.code == "export.precision"


@pytest.mark.parametrize(
    ("said", "flag"),
    [
        ({"size": (224, 224)}, "--size"),
        ({"normalize": True}, "--with-normalize"),
        ({"unit_length": True}, "--with-unit-length"),
    ],
)
def test_weights_alone_have_neither_size_nor_preprocessing(said, flag):
    with pytest.raises(UsageError, match="weights only") as caught:
        ExportOptions(format="safetensors", **said)

    assert caught.value.subject == flag


def test_sizes_are_height_before_width():
    assert parse_size("224") == (224, 224)
    assert parse_size("224x336") == (224, 336)
    assert parse_size("28X14") == (28, 14)


@pytest.mark.parametrize("text", ["", "x", "224x", "1x2x3", "-14", "22.4", "２２４", "big"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="it is no size"):
        parse_size(text)


def test_a_side_that_is_no_multiple_of_the_patch_is_refused_with_the_nearest():
    check_size((224, 336), SIZES["small"])

    with pytest.raises(UsageError, match="the nearest is 224x308"):
        check_size((225, 305), SIZES["small"])
    with pytest.raises(UsageError, match="multiples of the patch size, 14"):
        check_size((0, 14), SIZES["small"])
    with pytest.raises(UsageError, match="patches"):
        check_size((14_000, 14_000), SIZES["small"])
