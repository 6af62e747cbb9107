"""`dinoseek export`."""

import sys

import numpy as np
import pytest


def test_the_suffix_decides(dinoseek, gallery, tmp_path):
    for name in ("v.parquet", "v.npz", "v.npy"):
        result = dinoseek("export", gallery, name)
        assert (result.code, result.out, result.err) == (0, f"{name}\n", "12 images\n")
    assert len(np.load(tmp_path / "v.npy")) == 12
    assert (tmp_path / "v.json").exists()
    assert dinoseek("export", gallery, "v.xlsx").code == 2


def test_a_filter_chooses(dinoseek, gallery, tmp_path):
    assert dinoseek("export", gallery, "v.npz", "--where", "format = 'PNG' and width > 9").code == 0
    assert dinoseek("export", gallery, "w.npz", "--where", "width > 99").code == 2
    assert (
        "no image has `label`" in dinoseek("export", gallery, "w.npz", "--where", "label = 1").err
    )
    assert not (tmp_path / "w.npz").exists()


def test_what_is_there_is_replaced_when_asked(dinoseek, gallery):
    dinoseek("export", gallery, "v.npz")

    refused = dinoseek("export", gallery, "v.npz")

    assert refused.code == 2
    assert "use --force" in refused.err
    assert dinoseek("export", gallery, "v.npz", "--force").code == 0


def test_without_pyarrow_it_says_what_to_install(dinoseek, gallery, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    result = dinoseek("export", gallery, "v.parquet")

    assert result.code == 2
    assert "needs: pip install dinoseek[parquet]" in result.err
    assert not (tmp_path / "v.parquet").exists()


@pytest.mark.parametrize("command", ["import", "export"])
def test_a_missing_gallery_or_file_is_told(dinoseek, command, tmp_path):
    arguments = {"import": ("no.npz", "--gallery", "x.dino"), "export": ("no.dino", "v.npz")}

    assert dinoseek(command, *arguments[command]).code == 4
    assert list(tmp_path.glob("*.dino")) == []
