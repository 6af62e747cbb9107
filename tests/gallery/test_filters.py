"""Filters against a plain Python reading of the same words, and what SQLite does to answer them."""

import json
import operator
import re
import sqlite3
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoseek.gallery import filters, schema
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.filters import matching, parse, unknown_names


def new_record():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection)
    connection.execute("INSERT INTO roots VALUES (1, ?, NULL)", (b"/photos",))
    return connection


@pytest.fixture
def connection():
    with new_record() as opened:
        yield opened
    opened.close()


def put(connection, metadata=None, *, path=None, root=1, mtime_ns=0, **facts):
    """Keeps an image as the gallery does, by SQL of the tests' own; returns its id."""
    columns = {"width": 4, "height": 3, "bytes": 100, "format": "JPEG", "caption": None, **facts}
    names = ", ".join(columns)
    cursor = connection.execute(
        f"INSERT INTO images (digest, metadata, {names})"
        f" VALUES (hex(randomblob(16)), ?, {', '.join('?' * len(columns))})",
        (json.dumps(metadata or {}), *columns.values()),
    )
    id = cursor.lastrowid
    for name, value in (metadata or {}).items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None and not isinstance(each, dict | list):
                query = "INSERT OR IGNORE INTO attributes VALUES (?, ?, ?)"
                connection.execute(query, (name, int(each) if each in (True, False) else each, id))
    path = f"{id}.jpg" if path is None else path
    put_file(connection, id, path, root=root, mtime_ns=mtime_ns)
    return id


def put_file(connection, id, path, *, root=1, mtime_ns=0):
    row = (root, path if isinstance(path, bytes) else path.encode(), id, 100, mtime_ns)
    connection.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", row)


def found(connection, text):
    ids = matching(connection, parse(text))
    assert ids.dtype == np.int64
    return ids.tolist()


# the same words as text for `parse` and as a function of an image

WORDS = ["cat", "dog", "Cat", "", "5", "2.5", "05", "ö", "Ö", "true"]
TEXTS = st.sampled_from([*WORDS, "it's", 'a"b', "%", "_x", "'; DROP TABLE images; --"])
NUMBERS = st.sampled_from([-1, 0, 1, 5, 2.5, 5.0, 1999, 2**62, 1e20])
SCALARS = TEXTS | NUMBERS | st.booleans()
ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
KINDS = ["=", "!=", "in", "not in", *ORDER, "between", "not between", "contains", "exists", "null"]
NAMES = ["label", "year", "tags", "; DROP TABLE images; --"]


def quoted(text, quote):
    return quote + text.replace(quote, 2 * quote) + quote


def written(value):
    if isinstance(value, str):
        return st.sampled_from("'\"").map(lambda quote: quoted(value, quote))
    return st.just(str(value).lower() if isinstance(value, bool) else repr(value))


def as_number(text):
    return float(text) if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text) else None


def is_equal(value, literal):
    if isinstance(literal, bool):
        return value == literal or value in (["true", "True", "TRUE"] if literal else ["false"])
    if isinstance(literal, str) and not isinstance(value, str):
        return value == as_number(literal)
    return isinstance(value, str) is isinstance(literal, str) and value == literal


def is_ordered(value, sign, literal):
    if isinstance(literal, str) and not isinstance(value, str):
        literal = as_number(literal)
    if literal is None or isinstance(value, str) is not isinstance(literal, str):
        return False
    return ORDER[sign](value, literal)


def is_like(value, pattern):
    parts = [".*" if c == "%" else "." if c == "_" else re.escape(c) for c in ascii_lower(pattern)]
    return re.fullmatch("".join(parts), ascii_lower(str(value)), re.DOTALL) is not None


def ascii_lower(text):
    return "".join(c.lower() if c.isascii() else c for c in text)


@st.composite
def metadata_comparisons(draw):
    name = draw(st.sampled_from(NAMES))
    field = name if name.isalpha() else f"`{name}`"
    kind = draw(st.sampled_from(KINDS))
    ordered = kind in ORDER or kind.endswith("between")
    low, high = draw(TEXTS | NUMBERS if ordered else SCALARS), draw(TEXTS | NUMBERS)
    a, b = draw(written(low)), draw(written(high))
    word = draw(TEXTS)
    quoted_word = draw(written(word))

    def positive(value):
        match kind:
            case "=" | "!=":
                return is_equal(value, low)
            case "in" | "not in":
                return is_equal(value, low) or is_equal(value, high)
            case "between" | "not between":
                return is_ordered(value, ">=", low) and is_ordered(value, "<=", high)
            case "contains":
                return ascii_lower(word) in ascii_lower(str(value))
            case "exists" | "null":
                return True
        return is_ordered(value, kind, low)

    text = {
        "in": f"{field} in ({a}, {b})",
        "not in": f"{field} not in ({a},{b})",
        "between": f"{field} between {a} and {b}",
        "not between": f"{field} not between {a} and {b}",
        "contains": f"{field} contains {quoted_word}",
        "exists": f"exists {field}",
        "null": f"{field} is null",
    }.get(kind, f"{field} {kind} {a}")

    def holds(image):
        values = [int(v) if isinstance(v, bool) else v for v in image["meta"].get(name, [])]
        if kind == "null":
            return not values
        if kind.startswith("not") or kind == "!=":
            return bool(values) and not any(map(positive, values))
        return any(map(positive, values))

    return text, holds


@st.composite
def fact_comparisons(draw):
    name = draw(st.sampled_from(["width", "height", "bytes", "id", "aspect", "megapixels"]))
    sign = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
    limit = draw(st.sampled_from([0, 1, 2, 3, 1.5, 0.5, 2e-6]))

    def holds(image):
        value = image[name]
        if sign in ("=", "!="):
            return (value == limit) == (sign == "=")
        return is_ordered(value, sign, limit)

    return f"{name} {sign} {limit!r}", holds


@st.composite
def caption_comparisons(draw):
    word = draw(TEXTS)
    kind = draw(st.sampled_from(["=", "!=", "like", "not like", "is null"]))
    text = "caption is null" if kind == "is null" else f"caption {kind} {draw(written(word))}"

    def holds(image):
        caption = image["caption"]
        if caption is None or kind == "is null":
            return caption is None and kind == "is null"
        is_so = is_like(caption, word) if "like" in kind else caption == word
        return is_so == (kind in ("=", "like"))

    return text, holds


def joined(parts):
    def both(pair):
        (left, f), (right, g) = pair
        return st.sampled_from(
            [
                (f"({left} and {right})", lambda image: f(image) and g(image)),
                (f"({left} or {right})", lambda image: f(image) or g(image)),
                (f"{left} and not ({right})", lambda image: f(image) and not g(image)),
                (f"not ({left})", lambda image: not f(image)),
            ]
        )

    return st.tuples(parts, parts).flatmap(both).map(lambda each: (f"({each[0]})", each[1]))


CONDITIONS = st.recursive(
    metadata_comparisons() | fact_comparisons() | caption_comparisons(), joined, max_leaves=6
)
IMAGES = st.lists(
    st.fixed_dictionaries(
        {
            "width": st.integers(1, 3),
            "height": st.integers(1, 3),
            "bytes": st.integers(0, 3),
            "caption": st.none() | TEXTS,
            "meta": st.dictionaries(
                st.sampled_from(NAMES), st.lists(SCALARS, min_size=1, max_size=3), max_size=4
            ),
        }
    ),
    max_size=12,
)


@given(images=IMAGES, condition=CONDITIONS, few=st.sampled_from([0, 3, 30_000]))
@settings(max_examples=500, deadline=None)
def test_a_filter_holds_for_the_images_that_plain_python_says(images, condition, few):
    text, holds = condition
    connection = new_record()
    for image in images:
        facts = {name: image[name] for name in ("width", "height", "bytes", "caption")}
        image["id"] = put(connection, image["meta"], **facts)
        image["aspect"] = image["width"] / image["height"]
        image["megapixels"] = image["width"] * image["height"] / 1e6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters, "_FEW", few)  # each way of combining sets
        assert found(connection, text) == [image["id"] for image in images if holds(image)]
    assert connection.execute("SELECT count(*) FROM images").fetchone() == (len(images),)
    connection.close()


def test_what_is_missing_is_neither_equal_nor_unequal_but_not_turns_around(connection):
    cat, dog = put(connection, {"label": "cat"}), put(connection, {"label": "dog"})
    without = put(connection)
    assert found(connection, "label = 'cat'") == [cat]
    assert found(connection, "label != 'cat'") == [dog]
    assert found(connection, "not label = 'cat'") == [dog, without]
    assert found(connection, "label is null") == [without]
    assert found(connection, "label < 'z' or label >= 'z'") == [cat, dog]


def test_a_list_has_each_of_its_elements_and_objects_and_null_have_none(connection):
    both = put(connection, {"tags": ["cat", 5, True, None]})
    cat = put(connection, {"tags": "cat"})
    put(connection, {"tags": {"cat": "cat"}})
    put(connection, {"tags": None})
    assert found(connection, "tags = 'cat'") == [both, cat]
    assert found(connection, "tags = 5 and tags = true") == [both]
    assert found(connection, "tags != 5") == [cat]
    assert found(connection, "exists tags") == [both, cat]


def test_words_of_tables_for_true_and_false_count(connection):
    yes = [put(connection, {"good": each}) for each in (True, 1, "true", "True", "TRUE")]
    no = [put(connection, {"good": each}) for each in (False, 0, "false", "FALSE")]
    put(connection, {"good": "yes"})
    assert found(connection, "good = true") == yes
    assert found(connection, "good in (false)") == no


def test_metadata_of_the_same_name_as_a_fact_is_asked_for_by_meta(connection):
    id = put(connection, {"width": 900, "format": "square"}, width=4)
    assert found(connection, "meta.width = 900 and width = 4") == [id]
    assert found(connection, "width = 900") == []
    assert found(connection, "meta.format = 'square' and format = 'jpg'") == [id]


def test_formats_have_their_usual_names_in_any_case(connection):
    jpeg, tiff = put(connection, format="JPEG"), put(connection, format="TIFF")
    for name in ("JPEG", "jpeg", "jpg"):
        assert found(connection, f"format = '{name}'") == [jpeg]
    assert found(connection, "format in ('tif', 'png')") == [tiff]
    assert found(connection, "format != 'tif'") == [jpeg]


def test_a_path_is_known_below_its_root_and_as_a_whole(connection):
    a, b = put(connection, path="sea/1.jpg"), put(connection, path="sea/2019/it's 2.jpg")
    other = put(connection, path="seaside.jpg")
    for text in ("path = 'sea/1.jpg'", "path in ('x', '/photos/sea/1.jpg')", "path like '%/1.JPG'"):
        assert found(connection, text) == [a]
    assert found(connection, 'path contains "it\'s"') == [b]
    assert found(connection, "path contains '_'") == []
    assert found(connection, "path like '/photos/sea_ide%'") == [other]
    assert found(connection, "path != 'sea/1.jpg'") == [b, other]
    assert found(connection, "path = '/photos/1.jpg' or path = '/photosea/1.jpg'") == []


@pytest.mark.parametrize(
    ("folder", "count"),
    [
        ("sea", 2),
        ("sea/", 2),
        ("/photos/sea", 2),
        ("sea/2019", 1),
        ("/photos", 3),
        ("/", 3),
        ("se", 0),
        ("2019", 0),
        ("/photos/se", 0),
        ("/photo", 0),
        ("/photos/sea/2", 0),
    ],
)
def test_a_folder_has_what_lies_anywhere_inside_it(connection, folder, count):
    for path in ("sea/1.jpg", "sea/2019/2.jpg", "seaside.jpg"):
        put(connection, path=path)
    assert len(found(connection, f"folder = '{folder}'")) == count
    if folder != "/" and not folder.endswith("/"):
        assert len(found(connection, f"folder like '{folder}'")) == count


def test_folders_may_be_named_in_part(connection):
    a, b = put(connection, path="sea/1.jpg"), put(connection, path="sea/2019/2.jpg")
    assert found(connection, "folder like '%/2019'") == [b]
    assert found(connection, "folder contains '2019'") == [b]
    assert found(connection, "folder like 's%'") == [a, b]
    assert found(connection, "folder contains 'jpg'") == []


def test_bytes_that_are_no_text_do_not_disturb_paths(connection):
    id = put(connection, path=b"sea/\xff.jpg")
    assert found(connection, "path like '%.jpg'") == [id]
    assert found(connection, "folder = 'sea'") == [id]


def test_each_file_of_an_image_counts(connection):
    id = put(connection, path="a/1.jpg")
    put_file(connection, id, "b/2.jpg")
    assert found(connection, "folder = 'a' and folder = 'b'") == [id]
    assert found(connection, "folder in ('a', 'b', '/photos')") == [id]
    assert found(connection, "path like '%.jpg'") == [id]
    assert found(connection, "folder != 'a'") == []


def test_addresses_are_urls_and_paths_but_have_no_root_to_show(connection):
    connection.execute("INSERT INTO roots VALUES (2, ?, NULL)", (b"web:",))
    own = put(connection, path="a.jpg")
    web = put(connection, path="https://example.com/a/b.jpg?x=1", root=2)
    for text in (
        "url = 'https://example.com/a/b.jpg?x=1'",
        "url contains 'example.com'",
        "url like 'HTTPS://%'",
        "exists url",
        "path like 'https://%'",
        "folder = 'https://example.com/a'",
    ):
        assert found(connection, text) == [web]
    assert found(connection, "url is null") == [own]
    assert found(connection, "url != 'x'") == [web]
    assert found(connection, "path like 'web:%' or folder like 'web:%' or folder = 'web:'") == []
    assert found(connection, "folder = '/'") == [own]


def test_images_are_found_by_when_their_files_changed(connection):
    def at(*when):
        return int(datetime(*when).astimezone().timestamp()) * 10**9

    may = put(connection, mtime_ns=at(2024, 5, 31, 23, 59, 59) + 999_999_999)
    june = put(connection, mtime_ns=at(2024, 6, 1))
    assert found(connection, "modified = '2024-05-31'") == [may]
    assert found(connection, "modified <= '2024-05-31'") == [may]
    assert found(connection, "modified > '2024-05-31'") == [june]
    assert found(connection, "modified in ('2024-06-01T00:00', '2020')") == [june]
    assert found(connection, "modified between '2024-05' and '2024-06'") == [may, june]
    assert found(connection, "modified != '2024-05'") == [june]
    assert found(connection, "modified >= 2024 and modified < 2025") == [may, june]


def test_like_takes_numbers_as_they_are_written(connection):
    id = put(connection, {"zip": 94110, "price": 2.5})
    assert found(connection, "zip like '94%' and price contains '.5'") == [id]


def test_long_lists_are_asked_for_in_parts(connection):
    ids = [put(connection, {"number": number}) for number in range(1200)]
    numbers = ",".join(map(str, range(1, 1200)))
    assert found(connection, f"number in ({numbers})") == ids[1:]
    assert found(connection, f"number in ({numbers}) and width = 4") == ids[1:]


def test_an_id_that_became_text_on_the_disk_is_no_answer(connection):
    put(connection, {"label": "cat"})
    connection.execute("INSERT INTO attributes VALUES ('label', 'cat', 'x1')")
    with pytest.raises(sqlite3.DatabaseError, match="no number"):
        matching(connection, parse("label = 'cat'"))


@pytest.mark.parametrize(
    "text",
    [
        "label = 'cat'",
        "label in ('cat', 5)",
        "label != 'cat' and label = 'dog'",
        "label between 'a' and 'd'",
        "label < 'd' and label > 5",
        "exists label",
        "id in (1, 2)",
        "width = 5",
        "width > 5 and height <= 7",
        "bytes between 1kb and 2kb",
        "width > 800 and label in ('cat', 'dog')",
        "label = 'cat' and aspect > 1.5 and megapixels < 3",
        "label = 'cat' and caption = 'x' and format = 'png'",
        "label = 'cat' and path like 'x%'",
        "label = 'cat' and modified > '2024'",
        "folder = 'sea'",
        "folder = '/photos/sea' and label = 'cat'",
        "path = 'sea/1.jpg' and label = 'cat'",
        "url = 'https://example.com/'",
    ],
)
def test_no_table_is_read_from_end_to_end(connection, text):
    for number in range(20):
        put(connection, {"label": "cat" if number % 2 else 5})
    statements = []
    connection.set_trace_callback(statements.append)
    matching(connection, parse(text))
    connection.set_trace_callback(None)
    plans = [connection.execute(f"EXPLAIN QUERY PLAN {each}").fetchall() for each in statements]
    steps = [detail for plan in plans for *_, detail in plan]
    assert not [step for step in steps if re.match(r"SCAN (images|attributes|files)", step)]
    of_attributes = [step for step in steps if " attributes " in step]
    assert all("name=?" in step for step in of_attributes), of_attributes
    for statement, plan in zip(statements, plans, strict=True):  # one look for each image
        of_one = [step for *_, step in plan if " attributes " in step and "json_each" in statement]
        assert all("image_id=?" in step for step in of_one), of_one


def test_names_that_no_image_has_are_said_with_those_that_are_near(connection):
    put(connection, {"label": "cat", "photographer": "x", "in words": 1})
    where = parse("lable = 1 and (Width > 5 or width > 5) and not exists `a\x1b` and lable = 2")
    assert unknown_names(connection, where) == [
        "no image has `lable`; did you mean `label`?",
        "no image has `Width`; did you mean `width`?",
        "no image has `a\\x1b`",
    ]
    assert unknown_names(connection, parse("label = 1 and `in words` = 2 and meta.label = 3")) == []
    assert unknown_names(new_record(), parse("label = 1")) == ["no image has `label`"]


def test_a_search_goes_through_the_images_that_a_filter_holds_for(
    tmp_path, embedder, make_record, unit_vectors
):
    records = [make_record(n, metadata={"label": "cat" if n % 3 else "dog"}) for n in range(30)]
    vectors = unit_vectors(30)
    with open_gallery(tmp_path / "photos.dino", embedder) as gallery:
        gallery.add(records, vectors)
        (hits,) = gallery.search(vectors[:1], 30, where=parse("label = 'cat'"))
        (none,) = gallery.search(vectors[:1], 5, where=parse("label = 'bird'"))
    scores = vectors @ vectors[0]
    expected = [n for n in np.argsort(-scores, kind="stable").tolist() if n % 3]
    assert [int(hit.path.split("/")[-1].split(".")[0]) for hit in hits] == expected
    assert none == []
