"""Facets: the columns of a gallery's metadata, against what was put in."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dinoseek.embedder import load_embedder
from dinoseek.gallery.base import Record
from dinoseek.gallery.facets import MOST_VALUES, facets
from dinoseek.gallery.factory import open_gallery
from dinoseek.gallery.listing import beside, count_images, images_at, sample_ids

ROWS = [
    {
        "label": ("cat", "dog", "bird")[n % 3],
        "price": n * 1.5,
        "title": f"the {n}. picture",
        "tags": ["new"] if n % 2 else ["new", "old"],
        "rare": "yes",
    }
    for n in range(30)
]


@pytest.fixture
def gallery(tmp_path: Path):
    embedder = load_embedder("color-histogram")
    with open_gallery(tmp_path / "a.dino", embedder) as opened:
        records = [
            Record(
                path=f"{n}.jpg".encode(),
                root=str(tmp_path),
                digest=f"{n:064x}",
                width=4,
                height=3,
                bytes=10,
                mtime_ns=0,
                format="JPEG",
                metadata=row,
            )
            for n, row in enumerate(ROWS)
        ]
        rng = np.random.default_rng(0)
        opened.add(records, rng.random((len(ROWS), embedder.dim), np.float32) + 0.1)
        yield opened


def test_a_column_of_few_values_has_them_with_their_counts(gallery) -> None:
    found = {facet.name: facet for facet in facets(gallery)}
    assert dict(found["label"].values) == Counter(row["label"] for row in ROWS)
    assert dict(found["tags"].values) == Counter(tag for row in ROWS for tag in row["tags"])
    assert dict(found["rare"].values) == {"yes": 30}


def test_a_column_of_many_numbers_has_its_span(gallery) -> None:
    price = next(facet for facet in facets(gallery) if facet.name == "price")
    assert len({row["price"] for row in ROWS}) > MOST_VALUES
    assert (price.values, price.span) == ((), (0, 43.5))


def test_free_text_has_neither(gallery) -> None:
    title = next(facet for facet in facets(gallery) if facet.name == "title")
    assert (title.values, title.span) == ((), None)


def test_columns_come_by_name(gallery) -> None:
    assert [facet.name for facet in facets(gallery)] == sorted(ROWS[0])


def test_images_come_by_id_page_by_page(gallery) -> None:
    ids = [id for first in range(0, 30, 7) for id in images_at(gallery, first, 7)]
    assert ids == sorted(gallery.ids_of(f"{n:064x}" for n in range(30)).values())
    assert count_images(gallery) == 30


def test_a_sample_has_different_images_and_depends_on_its_seed(gallery) -> None:
    first = sample_ids(gallery, 10, random.Random(1))
    assert len(set(first)) == 10
    assert first == sample_ids(gallery, 10, random.Random(1))
    assert first != sample_ids(gallery, 10, random.Random(2))
    assert len(sample_ids(gallery, 99, random.Random(1))) == 30


def test_a_sample_ends_although_one_id_is_far_from_the_others(gallery) -> None:
    gallery._connection.execute("UPDATE sqlite_sequence SET seq = 1000000000 WHERE name = 'images'")
    record = Record(
        path=b"far.jpg",
        root="/",
        digest="f" * 64,
        width=1,
        height=1,
        bytes=1,
        mtime_ns=0,
        format="JPEG",
    )
    gallery.add([record], np.ones((1, gallery.dim), np.float32))
    assert len(set(sample_ids(gallery, 12, random.Random(1)))) == 12


def test_the_images_beside_one_are_those_with_the_next_ids(gallery) -> None:
    gallery.remove([5])
    assert beside(gallery, 4) == (3, 6)
    assert beside(gallery, 1) == (None, 2)
    assert beside(gallery, 30) == (29, None)
