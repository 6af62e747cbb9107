from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import ImageError
from dinoseek.images.decode import decode, load_image

LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}}


def pixels(data, **options):
    return np.asarray(decode(data, **options)).astype(int)


def test_IMG_09_a_single_pixel_is_a_picture(encode):
    for format in LOSSLESS:
        data = encode(np.array([[[1, 2, 3]]], np.uint8), format, **LOSSLESS[format])
        assert pixels(data).ravel().tolist() == [1, 2, 3]


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_IMG_24_an_animation_is_its_first_frame(format, photo, encode, monkeypatch, costs_at_most):
    frames = [Image.fromarray(np.roll(photo, 3 * n, axis=1)) for n in range(50)]
    lossless = {"lossless": True} if format == "WEBP" else {}
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], **lossless)
    limit = 40 if format == "GIF" else 0  # 256 colours
    with costs_at_most(0.5):
        assert np.abs(pixels(data) - photo).max() <= limit


def test_IMG_24_a_blank_first_frame_stays_blank(photo, encode):
    blank = Image.new("P", (160, 120))
    data = encode(blank, "GIF", save_all=True, append_images=[Image.fromarray(photo)])
    assert np.ptp(pixels(data)) == 0


def test_IMG_33_the_content_decides_not_the_name(tmp_path, photo, encode):
    (tmp_path / "photo.jpg").write_bytes(encode(photo, "PNG"))
    image = load_image(tmp_path / "photo.jpg")
    assert image.format == "PNG"
    np.testing.assert_array_equal(np.asarray(image), photo)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (12, 200, 99)])
def test_IMG_36_one_colour_is_decoded_as_such(colour, encode):
    image = np.full((40, 30, 3), colour, np.uint8)
    for format, options in LOSSLESS.items():
        np.testing.assert_array_equal(pixels(encode(image, format, **options)), image)


def test_IMG_44_one_picture_is_the_same_in_all_lossless_formats(photo, encode):
    for format, options in LOSSLESS.items():
        np.testing.assert_array_equal(pixels(encode(photo, format, **options)), photo)
    assert np.abs(pixels(encode(photo, "JPEG", quality=95)) - photo).mean() < 2


def test_a_decoded_picture_carries_no_metadata(photo, encode, exif_block):
    data = encode(photo, "JPEG", exif=exif_block(1), comment=b"<script>", dpi=(72, 72))
    image = decode(data)
    assert (image.mode, image.format, image.info) == ("RGB", "JPEG", {})
    saved = BytesIO()
    image.save(saved, "JPEG")
    assert b"script" not in saved.getvalue()
    assert b"Exif" not in saved.getvalue()


def test_an_error_names_its_subject(photo, encode, tmp_path):
    file = tmp_path / "half.jpg"
    file.write_bytes(encode(photo, "JPEG")[:500])
    with pytest.raises(ImageError, match=r"half\.jpg: the file ends"):
        load_image(file)


@pytest.mark.parametrize(
    "mode", ["RGB", "L", "1", "P", "LA", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"]
)
def test_faithful_is_what_facebooks_decoder_gives(mode, photo, encode, exif_block):
    rgba = Image.fromarray(np.dstack([photo, photo[:, :, 2] // 2]))
    grey = photo[:, :, 0]
    match mode:
        case "I;16":
            image = Image.fromarray(grey.astype(np.uint16) * 200)
        case "I":
            image = Image.fromarray(grey.astype(np.int32) * 7)
        case "F":
            image = Image.fromarray(grey.astype(np.float32))
        case "P":
            image = Image.fromarray(photo).convert("P")
        case _:
            image = rgba.convert(mode)
    formats = {"RGB": ["JPEG", "PNG", "TIFF"], "CMYK": ["JPEG", "TIFF"], "YCbCr": ["TIFF", "JPEG"]}
    default = ["TIFF"] if mode in ("I;16", "I", "F") else ["PNG", "TIFF"]
    for format in formats.get(mode, default):
        data = encode(image, format, **({} if format == "TIFF" else {"exif": exif_block(6)}))
        with Image.open(BytesIO(data)) as opened:
            expected = np.asarray(opened.convert("RGB"))
        np.testing.assert_array_equal(pixels(data, faithful=True), expected)


def test_faithful_drops_transparency_without_a_warning(make_png, png_chunk):
    palette, alphas = png_chunk(b"PLTE", b"\1\2\3\4\5\6"), png_chunk(b"tRNS", b"\x80\x40")
    data = make_png(1, 1, 8, 3, b"\0\1", palette, alphas)
    assert pixels(data, faithful=True).ravel().tolist() == [4, 5, 6]


@pytest.mark.parametrize("faithful", [False, True])
def test_all_sources_give_the_same_picture(faithful, photo, encode, tmp_path):
    data = encode(photo, "PNG")
    (tmp_path / "a.png").write_bytes(data)
    for source in (
        data,
        str(tmp_path / "a.png"),
        tmp_path / "a.png",
        photo,
        Image.fromarray(photo),
    ):
        image = load_image(source, faithful=faithful)
        assert image.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(image), photo)
    grey = photo[:, :, 0]
    np.testing.assert_array_equal(np.asarray(load_image(grey))[:, :, 1], grey)


def test_a_picture_that_is_opened_already_is_read_like_its_file(photo, encode, exif_block):
    data = encode(photo, "JPEG", exif=exif_block(6))
    with Image.open(BytesIO(data)) as opened:
        np.testing.assert_array_equal(np.asarray(load_image(opened)), pixels(data))
        assert opened.size == (160, 120)  # it is left as it was
        assert opened.info["exif"]
    with Image.open(BytesIO(data[:-200])) as cut, pytest.raises(ImageError) as error:
        load_image(cut)
    assert error.value.code == "image.truncated"


@pytest.mark.parametrize("faithful", [False, True])
def test_the_picture_that_is_given_stays_as_it_is(faithful, photo):
    image = Image.fromarray(photo)
    image.info["comment"] = "mine"
    image.info["transparency"] = (1, 2, 3)
    load_image(image, faithful=faithful)
    assert image.info == {"comment": "mine", "transparency": (1, 2, 3)}
    assert image.format is None


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 3)),
        np.zeros((2, 2, 2), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 2), np.uint8),
    ],
)
def test_an_array_that_is_no_picture_is_a_mistake(array):
    with pytest.raises(ValueError, match="an array image is"):
        load_image(array)


@pytest.mark.weights
def test_real_photographs_are_what_pillow_decodes(shared):
    photos = sorted((shared / "data").rglob("*.jpg"))
    assert len(photos) >= 128
    for path in photos:
        with Image.open(path) as opened:
            expected = np.asarray(opened.convert("RGB"))
        np.testing.assert_array_equal(np.asarray(load_image(path)), expected)
