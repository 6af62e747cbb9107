"""Lists of files: what is read, what is skipped, whose caption an image gets."""

import io
import json
import threading
from pathlib import Path

import pytest

from dinoseek.errors import UsageError
from dinoseek.gallery.base import WEB
from dinoseek.gallery.sqlite_gallery import SqliteGallery
from dinoseek.images.limits import DEFAULT_LIMITS
from dinoseek.ingest import web
from dinoseek.ingest.lists import FailedBefore, from_stream, from_table
from dinoseek.ingest.outcomes import Duplicate, Failed, Item, Skipped, Stored, Summary
from dinoseek.ingest.pipeline import ingest
from dinoseek.ingest.sources import from_folder
from dinoseek.ingest.steps import Task


@pytest.fixture
def table(tmp_path):
    """Writes rows as CSV beside the photographs."""

    def write(*rows, header="path,caption,label", name="list.csv"):
        file = tmp_path / name
        file.write_text("\n".join([header, *rows]) + "\n")
        return file

    return write


@pytest.fixture
def run(gallery):
    """Indexes sources, and checks the sums and the record."""

    def index(*sources, **options):
        outcomes = list(ingest(list(sources), gallery, **options))
        summary = Summary.of(outcomes)
        kinds = (Stored, Skipped, Duplicate, Failed)
        assert summary.total == sum(isinstance(each, kinds) for each in outcomes)
        assert gallery.verify() == []
        return outcomes

    return index


def described(gallery: SqliteGallery) -> dict[str, tuple[str | None, dict[str, object]]]:
    """Caption and metadata of each image, by its file's name."""
    records = gallery.get(range(1, len(gallery) + 1))
    return {Path(r.path.decode()).name: (r.caption, dict(r.metadata)) for r in records}


def short(outcomes):
    """Each outcome in a word, in order."""
    words = []
    for each in outcomes:
        word = type(each).__name__
        if isinstance(each, Skipped):
            word = each.reason
        elif isinstance(each, Failed):
            word = each.code
        words.append(word)
    return words


def test_captions_and_metadata_of_a_table_come_with_the_images(draw, table, run, gallery):
    draw("a.png"), draw("sub/b.png")
    rows = ("photos/a.png,A cat,cat", "photos/sub/b.png,,dog")
    assert short(run(from_table(table(*rows)))) == ["Stored", "Stored"]
    assert described(gallery) == {
        "a.png": ("A cat", {"label": "cat"}),
        "b.png": (None, {"label": "dog"}),
    }


def test_CSV_13_one_image_in_several_rows_gets_the_lowest_rows_caption(
    draw, table, run, gallery, photos
):
    data = draw("a.png").read_bytes()
    (photos / "copy.png").write_bytes(data)
    rows = ("photos/copy.png,first,1", "photos/a.png,second,2", "photos/copy.png,third,3")
    assert sorted(short(run(from_table(table(*rows))))) == ["Duplicate", "Stored", "repeated"]
    assert len(gallery) == 1
    (record,) = gallery.get([1])
    assert (record.caption, record.metadata) == ("first", {"label": 1})


def test_CSV_14_captions_are_kept_to_the_letter(draw, run, gallery, tmp_path):
    nasty = ["<script>alert(1)</script>", "=cmd()", "\x1b[31mred", "‮rtl", "😀", "x" * 3000]
    lines = []
    for number, caption in enumerate(nasty):
        draw(f"{number}.png")
        lines.append(json.dumps({"path": f"photos/{number}.png", "caption": caption}))
    (tmp_path / "list.jsonl").write_text("\n".join(lines), "utf-8")
    run(from_table(tmp_path / "list.jsonl"))
    kept = {name: caption for name, (caption, _) in described(gallery).items()}
    assert kept == {f"{n}.png": caption[:2000] for n, caption in enumerate(nasty)}


def test_CSV_18_only_new_rows_are_read_the_next_time(draw, table, run, monkeypatch):
    from dinoseek.ingest import prepare

    for n in range(12):
        draw(f"{n}.png")
    rows = [f"photos/{n}.png,caption {n},x" for n in range(12)]
    run(from_table(table(*rows[:2])))
    read = prepare.read_bytes
    seen = []
    monkeypatch.setattr(prepare, "read_bytes", lambda p, *a: seen.append(p.name) or read(p, *a))
    assert short(run(from_table(table(*rows)))) == ["unchanged"] * 2 + ["Stored"] * 10
    assert sorted(seen) == sorted(f"{n}.png" for n in range(2, 12))


def test_CSV_19_another_order_changes_nothing(draw, table, run, gallery):
    for n in range(5):
        draw(f"{n}.png")
    rows = [f"photos/{n}.png,caption {n},x" for n in range(5)]
    run(from_table(table(*rows)))
    before = described(gallery)
    outcomes = run(from_table(table(*reversed(rows))))
    assert {type(each) for each in outcomes} == {Skipped}
    assert described(gallery) == before


def test_CSV_20_a_list_of_which_every_row_is_bad_leaves_the_gallery_as_it_is(
    draw, table, run, gallery, photos
):
    (photos / "broken.png").write_bytes(b"no picture")
    rows = (",nothing,x", "photos/none.png,gone,x", "photos/broken.png,broken,x", "a,b,c,d,e")
    assert short(run(from_table(table(*rows)))) == [
        "csv.empty",
        "csv.columns",
        "path.vanished",
        "image.unrecognised",
    ]
    assert len(gallery) == 0


def test_a_changed_caption_is_taken_over_without_reading_the_image(
    draw, table, run, gallery, monkeypatch
):
    from dinoseek.ingest import prepare

    draw("a.png"), draw("b.png")
    run(from_table(table("photos/a.png,old,1", "photos/b.png,same,2")))
    monkeypatch.setattr(prepare, "read_bytes", None)
    outcomes = run(from_table(table("photos/a.png,new,1", "photos/b.png,same,2")))
    assert sorted(short(outcomes)) == ["described", "unchanged"]
    assert described(gallery)["a.png"] == ("new", {"label": 1})


def test_rows_that_leave_the_list_and_files_beside_it_stay_as_they_are(draw, table, run, gallery):
    draw("a.png"), draw("b.png"), draw("unlisted.png")
    run(from_table(table("photos/a.png,,", "photos/b.png,,")))
    run(from_table(table("photos/a.png,,")))
    assert sorted(described(gallery)) == ["a.png", "b.png"]


def test_a_folder_and_a_list_of_its_files_are_the_same_files(draw, table, run, gallery, photos):
    draw("a.png"), draw("b.png")
    run(from_folder(photos))
    outcomes = run(from_table(table("photos/a.png,A cat,cat")))
    assert short(outcomes) == ["described"]
    assert described(gallery)["a.png"] == ("A cat", {"label": "cat"})
    assert [root["files"] for root in gallery.info()["roots"] if root["files"]] == [2]


def test_paths_outside_the_lists_folder_and_absolute_ones_are_found(
    draw, run, gallery, tmp_path, photos
):
    draw("a.png"), draw("b.png")
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "list.csv").write_text(f"path\n../photos/a.png\n{photos / 'b.png'}\n")
    assert short(run(from_table(lists / "list.csv"))) == ["Stored", "Stored"]
    assert short(run(from_table(lists / "list.csv"))) == ["unchanged", "unchanged"]
    (hit,) = gallery.search(gallery.vectors([1]), 1)[0]
    assert hit.file.samefile(photos / "a.png")


def test_a_stream_names_files_by_line_or_null_byte(draw, run, gallery, tmp_path):
    draw("a b.png"), draw("c.png")
    lines = io.BytesIO(b"# a comment\r\nphotos/a b.png\r\n\r\n")
    assert short(run(from_stream(lines, tmp_path))) == ["Stored"]
    nulls = io.BytesIO(b"photos/a b.png\0photos/c.png\0")
    assert sorted(short(run(from_stream(nulls, tmp_path)))) == ["Stored", "unchanged"]


def test_a_table_that_breaks_off_keeps_what_came_before(draw, table, run, gallery):
    for n in range(40):
        draw(f"{n}.png")
    rows = [f"photos/{n}.png,,x" for n in range(40)]
    file = table(*rows, '"photos/none.png,unclosed')
    with pytest.raises(UsageError) as caught:
        run(from_table(file), batch_size=4)
    assert caught.value.code == "csv.syntax"
    assert len(gallery) > 20


def test_what_failed_before_is_tried_again_with_what_the_list_said(
    draw, table, run, gallery, photos
):
    good = draw("a.png").read_bytes()
    (photos / "a.png").write_bytes(good[:-20])
    assert short(run(from_table(table("photos/a.png,A cat,cat")))) == ["image.truncated"]
    assert short(run(FailedBefore())) == ["image.truncated"]
    (photos / "a.png").write_bytes(good)
    assert short(run(FailedBefore())) == ["Stored"]
    assert described(gallery) == {"a.png": ("A cat", {"label": "cat"})}
    assert run(FailedBefore()) == []


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("ftp://example.org/a.jpg", "url.scheme"),
        ("example.org/a.jpg", "url.scheme"),
        ("http://user@example.org/a.jpg", "url.syntax"),
        ("http://\x1b[31mexample.org/", "url.syntax"),
        ("http://127.0.0.1:8080/a.jpg", "url.port"),
    ],
)
def test_an_address_that_may_not_be_asked_is_a_failure_of_its_own(
    run, gallery, tmp_path, address, code
):
    (tmp_path / "list.jsonl").write_text(json.dumps({"url": address}))
    (outcome,) = run(from_table(tmp_path / "list.jsonl"))
    assert outcome.code == code
    assert outcome.item.root == WEB
    assert str(outcome.item).isprintable()


@pytest.fixture
def fetched(monkeypatch):
    """Runs tasks through the network stage; reading and fetching one is what the function does."""

    def run(tasks, read):
        monkeypatch.setattr(web, "fetch_step", lambda step, **_: read(step) or step)
        return web.fetched(iter(tasks), DEFAULT_LIMITS, web.WebOptions())

    return run


def files(count):
    return [Task(item=Item(root="/photos", path=f"{n}.png".encode())) for n in range(count)]


def test_files_come_in_the_order_of_the_list_however_long_each_takes(fetched):
    tasks, last_is_read = files(40), threading.Event()

    def read(task):
        if task is tasks[0]:
            assert last_is_read.wait(60)
        if task is tasks[-1]:
            last_is_read.set()

    assert list(fetched(tasks, read)) == tasks


def test_addresses_do_not_wait_for_files_and_many_files_not_for_one(fetched):
    address = Task(item=Item(root=WEB, path=b"http://a.test/1"))
    tasks, go_on = files(300), threading.Event()

    def read(task):
        if task in tasks[:2]:
            assert go_on.wait(60)

    steps = fetched([*tasks[:2], address, *tasks[2:]], read)
    assert next(steps) is address
    assert next(steps) is tasks[2]  # the first two are stuck
    go_on.set()
    rest = list(steps)
    assert [task for task in rest if task not in tasks[:2]] == tasks[3:]
    assert all(task in rest for task in tasks[:2])
