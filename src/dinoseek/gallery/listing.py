"""The images of a gallery's space without a query: how many, in order, or some at random."""

import random
from collections.abc import Iterator

from dinoseek.gallery.sqlite_gallery import SqliteGallery

_CHANCES = 20  # for each image; only where most ids are one after a wide gap do they not do


def count_images(gallery: SqliteGallery) -> int:
    """How many images have a vector in the gallery's space."""
    return len(gallery)


def images_at(gallery: SqliteGallery, first: int, count: int) -> list[int]:
    """The ids of `count` images by id, from the one at place `first` on."""
    with gallery.reading():
        space = gallery._space()
        if space is None:
            return []
        query = "SELECT image_id FROM vectors WHERE space_id = ? ORDER BY image_id LIMIT ? OFFSET ?"
        rows = gallery._connection.execute(query, (space.id, count, first))
        return [id for (id,) in rows]


def sample_ids(gallery: SqliteGallery, count: int, source: random.Random) -> list[int]:
    """The ids of `count` different images, chosen at random; all in some order if there are fewer.

    An image after a gap in the ids is a little likelier than others: each look costs the same,
    however many images there are.
    """
    with gallery.reading():
        space = gallery._space()
        if space is None or not space.key.rows:
            return []
        if space.key.rows <= count:
            ids = images_at(gallery, 0, count)
            source.shuffle(ids)
            return ids
        found = dict.fromkeys(_tried(gallery, space.id, count, source))
        rest = images_at(gallery, 0, 2 * count) if len(found) < count else []
        return list({**found, **dict.fromkeys(rest)})[:count]


def _tried(gallery: SqliteGallery, space: int, count: int, source: random.Random) -> Iterator[int]:
    """Ids chosen at random, some twice, until there are `count` or luck has had its chances."""
    bounds = "SELECT min(image_id), max(image_id) FROM vectors WHERE space_id = ?"
    least, most = gallery._connection.execute(bounds, (space,)).fetchone()
    query = "SELECT min(image_id) FROM vectors WHERE space_id = ? AND image_id >= ?"
    seen: set[int] = set()
    for _ in range(_CHANCES * count):
        start = source.randint(least, most)
        (id,) = gallery._connection.execute(query, (space, start)).fetchone()
        seen.add(id)
        yield id
        if len(seen) == count:
            return


def beside(gallery: SqliteGallery, id: int) -> tuple[int | None, int | None]:
    """The ids of the images before and after one, by id; None at either end."""
    with gallery.reading():
        space = gallery._space()
        if space is None:
            return None, None
        ends = []
        for query in (
            "SELECT max(image_id) FROM vectors WHERE space_id = ? AND image_id < ?",
            "SELECT min(image_id) FROM vectors WHERE space_id = ? AND image_id > ?",
        ):
            ((found,),) = gallery._connection.execute(query, (space.id, id))
            ends.append(found)
        return ends[0], ends[1]
