"""The strip of a query and its hits: its exact geometry, its labels and its names."""

import numpy as np
import pytest
from PIL import Image

from dinoseek.errors import MachineError, UsageError
from dinoseek.images.region import Region
from dinoseek.report.montage import (
    MontageStyle,
    montage,
    montage_name,
    placeholder,
    square_tile,
    tile_size,
    write_montages,
)
from dinoseek.report.pictures import Result, Shown

RED, GREEN = (250, 0, 0), (0, 250, 0)


def plain(size, color=RED) -> Image.Image:
    return Image.new("RGB", size, color)


def is_black(pixels) -> bool:
    return not np.asarray(pixels).any()


def test_five_hits_give_1394_by_224_pixels():
    strip = montage([plain((50, 50))], [plain((50, 50))] * 5)

    assert (strip.size, strip.mode) == ((1394, 224), "RGB")


@pytest.mark.parametrize(
    ("k", "size", "margin", "expected"),
    [(0, 224, 10, (224, 224)), (1, 100, 0, (200, 100)), (3, 64, 7, (64 * 4 + 21, 64))],
)
def test_the_strip_is_size_times_k_plus_1_and_margin_times_k_wide(k, size, margin, expected):
    style = MontageStyle(size=size, margin=margin)

    assert montage([plain((9, 9))], [plain((9, 9))] * k, style).size == expected


def test_the_query_is_left_then_the_hits_with_black_between_them():
    pixels = np.asarray(montage([plain((9, 9))], [plain((9, 9), GREEN)], MontageStyle(size=20)))

    assert (pixels[:, :20] == RED).all()
    assert is_black(pixels[:, 20:30])
    assert (pixels[:, 30:] == GREEN).all()


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (640, 480, (224, 168)),
        (480, 640, (168, 224)),
        (500, 333, (224, 149)),  # 149.18, cut
        (333, 500, (149, 224)),
        (640, 428, (224, 149)),  # 149.8
        (428, 640, (149, 224)),
        (300, 299, (224, 223)),  # 223.25
        (3, 2, (224, 149)),
        (100, 100, (224, 224)),
    ],
)
def test_the_longer_side_is_scaled_to_the_tile_and_the_other_is_cut(width, height, expected):
    assert tile_size(width, height, 224) == expected


def test_an_extreme_aspect_leaves_one_pixel():
    assert tile_size(10_000, 3, 224) == (224, 1)
    assert tile_size(3, 10_000, 224) == (1, 224)


def test_a_tile_is_centred_on_black_with_the_odd_pixel_after_it():
    pixels = np.asarray(square_tile(plain((500, 333)), 224))  # 149 rows, 75 left over

    assert pixels.shape == (224, 224, 3)
    assert is_black(pixels[:37])
    assert (pixels[37 : 37 + 149] == RED).all()
    assert is_black(pixels[37 + 149 :])


def test_tiles_are_scaled_by_pillows_default_filter():
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    image = Image.fromarray(noise)

    tile = np.asarray(square_tile(image, 45))

    assert np.array_equal(tile[7:37], np.asarray(image.resize((45, 30))))


@pytest.mark.parametrize("mode", ["P", "L", "CMYK", "RGBA", "1"])
def test_pictures_of_any_mode_become_rgb(mode):
    assert square_tile(Image.new(mode, (8, 4)), 16).mode == "RGB"


def test_a_missing_picture_is_a_tile_that_says_so():
    strip = np.asarray(montage([plain((9, 9))], [None], MontageStyle(size=64, margin=0)))

    tile = strip[:, 64:]
    assert np.array_equal(tile, np.asarray(placeholder(64)))
    assert len(np.unique(tile.reshape(-1, 3), axis=0)) > 1  # there are words on it


def test_labels_stand_below_and_leave_the_tiles_alone():
    images = [plain((9, 9))], [plain((9, 9), GREEN)]
    bare = np.asarray(montage(*images))

    labelled = np.asarray(montage(*images, MontageStyle(), ["query", "1   0.500"]))

    assert labelled.shape[0] > bare.shape[0]
    assert np.array_equal(labelled[:224], bare)
    assert not is_black(labelled[224:, :224])
    assert not is_black(labelled[224:, 234:])
    assert is_black(labelled[224:, 224:234])


@pytest.mark.parametrize("style", [{"size": 15}, {"size": 4097}, {"margin": -1}, {"margin": 1001}])
def test_a_senseless_layout_is_refused(style):
    with pytest.raises(UsageError, match="is not within"):
        MontageStyle(**style)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("photos/cat.jpg", "cat_output.jpg"),
        ("cat.PNG", "cat_output.PNG"),
        ("cat.tiff", "cat_output.jpg"),
        ("cat.gif", "cat_output.jpg"),
        ("cat", "cat_output.jpg"),
        ("-", "stdin_output.jpg"),
        ("id:42", "id-42_output.jpg"),
        ("../../etc/x.png", "x_output.png"),
        ("https://example.org/a.jpg?b=1", "a_output.jpg"),
        ('a?b*c<d>"|.png', "a-b-c-d---_output.png"),
        (f"{'x' * 300}.png", f"{'x' * 100}_output.png"),
    ],
)
def test_a_strip_is_named_after_its_query(query, expected):
    assert montage_name(query, set()) == expected


def test_queries_of_one_name_do_not_overwrite_each_other(tmp_path, make_picture):
    picture = make_picture("cat.png")
    queries = ["a/cat.png", "b/cat.png", "c/CAT.png"]
    results = [Result(query=query, source=picture, hits=[]) for query in queries]

    files = write_montages(results, tmp_path / "out", MontageStyle(size=16))

    names = [file.name for file in files]
    assert names[:2] == ["cat_output.png", "cat_output-2.png"]
    assert len({name.casefold() for name in names}) == 3
    assert all(file.is_file() for file in files)


def test_a_hit_whose_file_is_gone_does_not_stop_the_strip(tmp_path, make_picture, make_hit):
    query = make_picture("q.png")
    hits = [make_hit(tmp_path / "gone.jpg")]
    results = [Result(query="q.png", source=query, hits=hits)]

    (file,) = write_montages(results, tmp_path / "out", MontageStyle(labels=True))

    with Image.open(file) as strip:
        assert strip.width == 458


def test_a_folder_that_cannot_be_made_is_an_error_in_one_line(tmp_path, make_picture):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    results = [Result(query="q.png", source=make_picture("q.png"), hits=[])]

    with pytest.raises(MachineError, match="file") as caught:
        write_montages(results, blocked / "out", MontageStyle())

    assert caught.value.code == "report.unwritable"


def test_a_query_of_several_pictures_begins_with_all_of_them(tmp_path, make_picture, make_hit):
    source = [
        Shown(name="a/x.png", source=make_picture("x.png", (20, 20), RED)),
        Shown(name="id:3", source=make_picture("y.png", (20, 20), GREEN), sign="-"),
        Shown(name="z.jpg", source=None, sign="+"),
    ]
    hits = [make_hit(make_picture("hit.png", (20, 20), (0, 0, 250)), copies=2)]
    style = MontageStyle(size=32, margin=4)

    (file,) = write_montages([Result(query="q", source=source, hits=hits)], tmp_path, style)

    assert file.name == "x-id-3+z_output.jpg"
    with Image.open(file) as strip:
        pixels = np.asarray(strip.convert("RGB")).astype(int)
    assert pixels.shape == (32, 32 * 4 + 4 * 3, 3)
    assert pixels[16, 16].argmax() == 0
    assert pixels[16, 36 + 16].argmax() == 1
    assert pixels[16, 108 + 16].argmax() == 2


def test_only_the_region_of_a_query_is_drawn(tmp_path):
    image = plain((20, 20), RED)
    image.paste(GREEN, (10, 0, 20, 20))
    image.save(tmp_path / "half.png")
    shown = Shown(name="half.png", source=tmp_path / "half.png", region=Region(10, 0, 10, 20))
    style = MontageStyle(size=16)

    (file,) = write_montages([Result(query="half.png", source=[shown], hits=[])], tmp_path, style)

    with Image.open(file) as strip:
        assert {color for _, color in strip.getcolors()} == {GREEN, (0, 0, 0)}


def test_a_hit_without_a_file_is_drawn_from_its_thumbnail(tmp_path, make_picture, make_hit):
    kept = make_picture("kept.png", (20, 20), GREEN).read_bytes()
    result = Result(query="q.png", source=None, hits=[make_hit(None, 7)])
    style = MontageStyle(size=16, margin=0)

    (file,) = write_montages([result], tmp_path, style, {7: kept}.get)

    with Image.open(file) as strip:
        assert strip.getpixel((24, 8)) == GREEN
