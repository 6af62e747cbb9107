"""The identity of weights: equal in any container, different for any change, and remembered."""

import hashlib
import json
import os
import struct

import numpy as np
import pytest

from dinoseek.weights import digest as digest_module
from dinoseek.weights.digest import CACHE_NAME, params_digest, weights_digest
from dinoseek.weights.load import load_params


def test_the_same_weights_have_one_digest_in_every_container_and_dialect(tiny, write, tmp_path):
    paths = [
        write(tmp_path / "facebook.pth", tiny.flat),
        write(tmp_path / "facebook.npz", tiny.flat),
        write(tmp_path / "hf.safetensors", tiny.hugging_face),
        write(tmp_path / "prefix.safetensors", {f"model.{k}": v for k, v in tiny.flat.items()}),
        write(tmp_path / "half.npz", {k: v.astype(np.float16) for k, v in tiny.flat.items()}),
        write(tmp_path / "mask.npz", tiny.flat | {"mask_token": np.ones((1, 64), np.float32)}),
    ]

    assert len({params_digest(load_params(path)[0]) for path in paths}) == 1


def test_the_digest_is_what_its_description_says(tiny):
    digest = hashlib.sha256()
    for name in sorted(tiny.flat):
        shape = ", ".join(map(str, tiny.flat[name].shape))
        digest.update(f'["{name}", [{shape}]]\n'.encode())
        digest.update(struct.pack(f"<{tiny.flat[name].size}f", *tiny.flat[name].ravel()))

    assert params_digest(tiny.params) == digest.hexdigest()


def test_one_value_a_sign_of_zero_a_shape_or_a_name_changes_the_digest(tiny):
    def changed(**values):
        params = tiny.params
        params["norm"] = params["norm"] | values
        return params_digest(params)

    bias = tiny.flat["norm.bias"].copy()
    bias[0] = 0.0
    digests = {
        changed(),
        changed(bias=bias),
        changed(bias=np.where(np.arange(64) == 0, np.float32(-0.0), bias)),
        changed(bias=bias.reshape(8, 8)),
        changed(other=bias),
    }

    assert len(digests) == 5


@pytest.fixture
def settled(monkeypatch):
    """Files count as settled however new they are."""
    monkeypatch.setattr(digest_module, "SETTLED_NS", -(10**18))


@pytest.fixture
def counted(monkeypatch):
    """How often the weights were read."""
    reads = []
    real = digest_module.load_params
    monkeypatch.setattr(
        digest_module, "load_params", lambda path: (reads.append(path), real(path))[1]
    )
    return reads


def test_a_digest_is_computed_once_and_then_remembered(tiny, write, tmp_path, settled, counted):
    path = write(tmp_path / "m.npz", tiny.flat)
    cache = tmp_path / "cache"

    first = weights_digest(path, cache_dir=cache)
    second = weights_digest(path, cache_dir=cache)

    assert first == second == params_digest(tiny.params)
    assert len(counted) == 1
    assert (cache / CACHE_NAME).stat().st_size < 1000


def test_given_parameters_spare_reading_the_file(tiny, write, tmp_path, counted):
    path = write(tmp_path / "m.npz", tiny.flat)

    assert weights_digest(path, tiny.params, tmp_path) == params_digest(tiny.params)
    assert counted == []


def test_a_link_to_the_same_file_shares_the_memory(tiny, write, tmp_path, settled, counted):
    path = write(tmp_path / "m.npz", tiny.flat)
    (tmp_path / "link.npz").symlink_to(path)

    weights_digest(path, cache_dir=tmp_path)
    weights_digest(tmp_path / "link.npz", cache_dir=tmp_path)

    assert len(counted) == 1


@pytest.mark.parametrize("change", ["content", "time", "inode"])
def test_a_changed_file_is_read_again(tiny, write, tmp_path, settled, counted, change):
    path = write(tmp_path / "m.npz", tiny.flat)
    before = path.stat()
    first = weights_digest(path, cache_dir=tmp_path)

    if change == "time":
        os.utime(path, ns=(1, 1))
    else:
        other = tiny.flat | {"norm.bias": tiny.flat["norm.bias"] + 1}
        content = write(tmp_path / "other.npz", other).read_bytes()
        if change == "inode":
            path.rename(tmp_path / "aside")
            write(path, other)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        else:
            path.write_bytes(content)

    assert (weights_digest(path, cache_dir=tmp_path) == first) == (change == "time")
    assert len(counted) == 2


def test_a_file_written_just_now_is_not_remembered(tiny, write, tmp_path, counted):
    """Within one tick of a coarse clock it could change again and keep its time stamp."""
    path = write(tmp_path / "m.npz", tiny.flat)

    weights_digest(path, cache_dir=tmp_path)
    weights_digest(path, cache_dir=tmp_path)

    assert len(counted) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff", b"[]", b"null", b"[" * 100_000, b'{"format": 1}',
        b'{"format": 9, "digests": {}}', b'{"format": 1, "digests": []}',
    ],
    ids=lambda content: str(content[:20]),
)  # fmt: skip
def test_a_damaged_memory_is_replaced(tiny, write, tmp_path, settled, counted, content):
    path = write(tmp_path / "m.npz", tiny.flat)
    (tmp_path / CACHE_NAME).write_bytes(content)

    for _ in range(2):
        assert weights_digest(path, cache_dir=tmp_path) == params_digest(tiny.params)

    assert len(counted) == 1


@pytest.mark.parametrize("entry", [7, {}, {"digest": "x"}, {"stamp": [], "digest": "0" * 64}])
def test_a_damaged_entry_is_not_believed(tiny, write, tmp_path, entry):
    path = write(tmp_path / "m.npz", tiny.flat)
    memory = {"format": 1, "digests": {str(path.resolve()): entry}}
    (tmp_path / CACHE_NAME).write_text(json.dumps(memory))

    assert weights_digest(path, cache_dir=tmp_path) == params_digest(tiny.params)


def test_an_entry_with_the_right_stamp_but_no_digest_is_not_believed(
    tiny, write, tmp_path, settled
):
    path = write(tmp_path / "m.npz", tiny.flat)
    weights_digest(path, cache_dir=tmp_path)
    cache = tmp_path / CACHE_NAME
    memory = json.loads(cache.read_text())
    memory["digests"][str(path.resolve())]["digest"] = "../../etc/passwd"
    cache.write_text(json.dumps(memory))

    assert weights_digest(path, cache_dir=tmp_path) == params_digest(tiny.params)


def test_a_memory_that_cannot_be_written_is_not_used(tiny, write, tmp_path, settled):
    path = write(tmp_path / "m.npz", tiny.flat)
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")

    assert weights_digest(path, cache_dir=blocked / "deep") == params_digest(tiny.params)


def test_the_memory_keeps_the_newest_entries_only(tiny, write, tmp_path, settled):
    path = write(tmp_path / "m.npz", tiny.flat)
    old = {f"/old/{i}": {"stamp": [], "digest": "0" * 64} for i in range(200)}
    cache = tmp_path / CACHE_NAME
    cache.write_text(json.dumps({"format": 1, "digests": old}))

    weights_digest(path, cache_dir=tmp_path)

    kept = json.loads(cache.read_text())["digests"]
    assert len(kept) == 64
    assert str(path.resolve()) in kept
    assert "/old/199" in kept
    assert "/old/0" not in kept


def test_weights_are_found_again_by_their_digest(tmp_path):
    from dinoseek.weights.digest import weights_with_digest
    from dinoseek.weights.save import save_params

    from ..vit.tiny import tiny_config, tiny_params

    path = tmp_path / "tiny.safetensors"
    save_params(path, tiny_params(tiny_config()), tiny_config())
    old = path.stat().st_mtime_ns - 10**10
    os.utime(path, ns=(old, old))
    digest = weights_digest(path, cache_dir=tmp_path)

    assert weights_with_digest(digest, tmp_path) == path
    assert weights_with_digest("0" * 64, tmp_path) is None
    path.write_bytes(b"something else")
    assert weights_with_digest(digest, tmp_path) is None
