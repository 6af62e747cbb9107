import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from dinoseek.images.ahead import ahead
from dinoseek.images.decode import decode

# The primaries as the profiles hold them: XYZ of red, green and blue under D50.
SRGB = np.array(
    [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]
)
P3 = np.array(
    [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)]
)
ADOBE = np.array(
    [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
)
ADOBE_GAMMA = 563 / 256

fixed = lambda value: struct.pack(">i", round(value * 65536))  # noqa: E731


def srgb_curve():
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + b"".join(map(fixed, numbers))


def gamma_curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)


def profile(primaries, curve, space=b"RGB "):
    """The bytes of an ICC profile of three primaries (3, XYZ) and one curve."""
    xyz = [b"XYZ \0\0\0\0" + b"".join(map(fixed, colour)) for colour in primaries]
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642) + fixed(1.0) + fixed(0.8249)}
    tags |= dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), xyz, strict=True))
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC", b"kTRC"), curve)
    table, bodies, offset = b"", b"", 132 + 12 * len(tags)
    for name, body in tags.items():
        table += name + struct.pack(">II", offset + len(bodies), len(body))
        bodies += body.ljust(-(-len(body) // 4) * 4, b"\0")
    head = bytearray(128)
    head[8:24] = b"\4\x20\0\0mntr" + space + b"XYZ "
    head[36:40], head[68:80] = b"acsp", fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    body = bytes(head) + struct.pack(">I", len(tags)) + table + bodies
    return struct.pack(">I", len(body)) + body[4:]


def srgb_of(linear, primaries):
    """The reference: linear colours (..., 3) of some primaries as sRGB bytes."""
    light = np.clip(linear @ primaries @ np.linalg.inv(SRGB), 0, 1)
    low = light <= 0.0031308
    return 255 * np.where(low, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def test_IMG_29_display_p3_becomes_srgb(photo, encode):
    data = encode(photo, "PNG", icc_profile=profile(P3, srgb_curve()))
    light = photo / 255
    linear = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
    expected = srgb_of(linear, P3)
    assert np.abs(np.asarray(decode(data)) - expected).max() <= 2
    assert np.abs(photo - expected).max() > 20


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_IMG_29_adobe_rgb_becomes_srgb_in_each_format(format, photo, encode):
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    icc = profile(ADOBE, gamma_curve(ADOBE_GAMMA))
    plain = encode(photo, format, **options.get(format, {}))
    data = encode(photo, format, icc_profile=icc, **options.get(format, {}))
    expected = srgb_of((np.asarray(decode(plain)) / 255) ** ADOBE_GAMMA, ADOBE)
    assert np.abs(np.asarray(decode(data)) - expected).max() <= 2
    np.testing.assert_array_equal(
        np.asarray(decode(data, faithful=True)), np.asarray(decode(plain))
    )


def test_IMG_29_a_grey_profile_counts_too(encode):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data = encode(grey, "PNG", icc_profile=profile(SRGB, gamma_curve(1.75), space=b"GRAY"))
    expected = srgb_of(np.repeat(grey[:, :, None] / 255, 3, axis=2) ** 1.75, SRGB)
    assert np.abs(np.asarray(decode(data)) - expected).max() <= 3


@pytest.mark.parametrize(
    "srgb",
    [
        profile(SRGB, srgb_curve()),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ],
)
def test_IMG_29_a_profile_that_is_srgb_changes_no_bit(srgb, photo, encode):
    data = encode(photo, "PNG", icc_profile=srgb)
    np.testing.assert_array_equal(np.asarray(decode(data)), photo)


def broken_profiles():
    sound = profile(P3, srgb_curve())
    yield b"no profile"
    yield bytes(200)
    yield sound[:100]
    yield sound[:128] + b"\xff" * (len(sound) - 128)
    yield sound[:12] + b"XXXX" + sound[16:]
    yield profile(P3, srgb_curve(), space=b"CMYK")
    yield profile(P3, srgb_curve(), space=b"GRAY")
    yield sound + bytes(4 * 2**20)  # 4 MB


@pytest.mark.parametrize("number", range(8))
def test_IMG_29_a_broken_or_foreign_profile_is_ignored(number, photo, encode):
    icc = list(broken_profiles())[number]
    for format in ("JPEG", "TIFF"):
        plain = np.asarray(decode(encode(photo, format)))
        data = encode(photo, format, icc_profile=icc)
        np.testing.assert_array_equal(np.asarray(decode(data)), plain)


def test_IMG_29_broken_profiles_by_the_hundred_never_fail_a_picture(photo, encode):
    rng = np.random.default_rng(0)
    sound = profile(P3, srgb_curve())
    small = Image.fromarray(photo[:8, :8])
    for _ in range(300):
        icc = bytearray(sound)
        for at in rng.integers(0, len(icc), 4):
            icc[at] = rng.integers(256)
        assert decode(encode(small, "TIFF", icc_profile=bytes(icc))).size == (8, 8)


def test_one_profile_serves_many_threads(photo, encode):
    icc = profile(P3, srgb_curve())
    files = [encode(np.roll(photo, n, axis=1), "PNG", icc_profile=icc) for n in range(40)]
    alone = [np.asarray(decode(data)) for data in files]
    together = [np.asarray(image) for image in ahead(decode, files, workers=4, depth=8)]
    np.testing.assert_array_equal(together, alone)
