"""Where each benchmark is to be had and under which terms, and whether a download is whole.

Nothing is fetched: the terms are between the owner of the data and who uses it.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dinoseek.errors import DinoseekError, UsageError
from dinoseek.evaluation.dataset import Dataset
from dinoseek.evaluation.ground_truth import OFFICIAL, SIZES, load_ground_truth
from dinoseek.evaluation.products import COUNTS, load_products

_BYTES_AT_ONCE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set: where to get it, its terms, what to cite, and how it must lie in its folder.

    `archives` are the names of downloads and their MD5, where one is known.
    """

    title: str
    urls: Sequence[str]
    terms: str
    cite: str
    layout: str
    archives: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at; `missing` where it is not there at all."""

    what: str
    good: bool
    missing: bool = False


_PHOTOS = "research use; the photographs belong to their owners on Flickr"
_REVISITED = "Radenovic et al., Revisiting Oxford and Paris, CVPR 2018"

SOURCES = {
    "roxford5k": Source(
        title="revisited Oxford: 4,993 images and 70 queries",
        urls=(
            "https://www.robots.ox.ac.uk/~vgg/data/oxbuildings/",
            "http://cmp.felk.cvut.cz/revisitop/data/datasets/roxford5k/gnd_roxford5k.pkl",
        ),
        terms=_PHOTOS,
        cite=f"Philbin et al., CVPR 2007; {_REVISITED}",
        layout="gnd_roxford5k.pkl and jpg/NAME.jpg",
    ),
    "rparis6k": Source(
        title="revisited Paris: 6,322 images and 70 queries",
        urls=(
            "https://www.robots.ox.ac.uk/~vgg/data/parisbuildings/",
            "http://cmp.felk.cvut.cz/revisitop/data/datasets/rparis6k/gnd_rparis6k.pkl",
        ),
        terms=_PHOTOS,
        cite=f"Philbin et al., CVPR 2008; {_REVISITED}",
        layout="gnd_rparis6k.pkl and jpg/NAME.jpg, all images in one folder",
    ),
    "sop": Source(
        title="Stanford Online Products: 60,502 test images of 11,316 products",
        urls=("https://cvgl.stanford.edu/projects/lifted_struct/",),
        terms="research use; the photographs are sellers' on eBay",
        cite="Song et al., Deep Metric Learning via Lifted Structured Feature Embedding, CVPR 2016",
        layout="Ebay_test.txt and CATEGORY_final/NAME.JPG",
        archives=(("Stanford_Online_Products.zip", "7f73d41a2f44250d4779881525aea32e"),),
    ),
    "inshop": Source(
        title="DeepFashion In-shop: 14,218 queries, 12,612 gallery images, 3,985 items",
        urls=("https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html",),
        terms="non-commercial research only, by an agreement with the authors",
        cite="Liu et al., DeepFashion, CVPR 2016",
        layout="list_eval_partition.txt (or in Eval/) and img/ (or Img/img/)",
    ),
    "cub": Source(
        title="CUB-200-2011: 5,924 test images, the last 100 of 200 species",
        urls=("https://data.caltech.edu/records/65de6-vp158",),
        terms="non-commercial research and education; the photographs belong to their owners",
        cite="Wah et al., The Caltech-UCSD Birds-200-2011 Dataset, CNS-TR-2011-001",
        layout="images.txt, image_class_labels.txt and images/",
        archives=(("CUB_200_2011.tgz", "97eceeb196236b17998738112f37df78"),),
    ),
    "cars": Source(
        title="Cars-196: 8,131 test images, the last 98 of 196 models",
        urls=("http://ai.stanford.edu/~jkrause/cars/car_dataset.html",),
        terms="non-commercial research; its page is gone at times, and copies differ in layout",
        cite="Krause et al., 3D Object Representations for Fine-Grained Categorization, 3dRR 2013",
        layout="cars_annos.mat and car_ims/NAME.jpg",
    ),
    "revisitop1m": Source(
        title="revisited distractors: 1,001,001 images",
        urls=("http://ptak.felk.cvut.cz/revisitop/revisitop1m/",),
        terms=_PHOTOS,
        cite=_REVISITED,
        layout="jpg/ with 100 folders; index it as a gallery and give that with --distractors",
    ),
}


def source_of(name: str) -> Source:
    """Where a data set is to be had; UsageError for one that is not known."""
    if name not in SOURCES:
        known = ", ".join(SOURCES)
        raise UsageError("evaluate.unknown", name, "no such data set", fix=f"known are {known}")
    return SOURCES[name]


def check_download(name: str, root: Path) -> list[Check]:
    """Looks at what there is of a data set in a folder: lists, counts, hashes, images."""
    archives = source_of(name).archives
    found = [_archive(root / file, digest) for file, digest in archives]
    checks: dict[str, Callable[[Path], Iterator[Check]]] = {
        **{each: partial(_revisited, each) for each in SIZES},
        **{each: partial(_products, each) for each in COUNTS},
        "revisitop1m": _distractors,
    }
    return [*(check for check in found if check), *checks[name](root)]


def _archive(path: Path, digest: str) -> Check | None:
    """The MD5 of a download, where it lies in the folder; it may be gone once it is unpacked."""
    if not path.is_file():
        return None
    found = digest_of(path, "md5")
    what = f"{path.name}: md5 {found}" + ("" if found == digest else f", published is {digest}")
    return Check(what=what, good=found == digest)


def digest_of(path: Path, kind: str = "sha256") -> str:
    """The digest of a file's bytes, in hexadecimal."""
    found = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(_BYTES_AT_ONCE):
            found.update(piece)
    return found.hexdigest()


def _revisited(name: str, root: Path) -> Iterator[Check]:
    path = root / f"gnd_{name}.pkl"
    try:
        gnd = load_ground_truth(path)
    except DinoseekError as error:
        yield Check(what=str(error), good=False, missing=error.code == "gt.missing")
        return
    same = OFFICIAL.get(gnd.sha256) == name
    told = "as published" if same else "not the published file"
    yield Check(what=f"{path.name}: sha256 {gnd.sha256}, {told}", good=same)
    sizes = len(gnd.names), len(gnd.queries)
    what = f"{sizes[0]:,} images and {sizes[1]} queries are listed"
    yield Check(what=what, good=sizes == SIZES[name])
    for kind, names in (("gallery images", gnd.names), ("query images", gnd.queries)):
        yield _files(kind, root, [f"jpg/{each}.jpg" for each in names])


def _products(name: str, root: Path) -> Iterator[Check]:
    try:
        dataset = load_products(name, root)
    except DinoseekError as error:
        yield Check(what=str(error), good=False, missing=error.code == "data.missing")
        return
    counts = COUNTS[name]
    yield Check(
        what=f"{counts.queries:,} queries, {counts.gallery:,} gallery images,"
        f" {counts.classes:,} classes are listed",
        good=True,
    )
    yield from (Check(what=line, good=True) for line in _lists(dataset))
    yield _files("images", dataset.root, dataset.images)


def _lists(dataset: Dataset) -> Iterator[str]:
    """The hashes of the lists, to be told apart from changed copies."""
    for path in sorted(dataset.root.glob("*.txt")) + sorted(dataset.root.glob("*.mat")):
        yield f"{path.name}: sha256 {digest_of(path)}"


def _files(kind: str, root: Path, names: Sequence[str]) -> Check:
    lost = [name for name in names if not (root / name).is_file()]
    if not lost:
        return Check(what=f"all {len(names):,} {kind} are there", good=True)
    what = f"{len(lost):,} of {len(names):,} {kind} are not there: {', '.join(lost[:3])}"
    return Check(what=what + (", ..." if len(lost) > 3 else ""), good=False, missing=True)


def _distractors(root: Path) -> Iterator[Check]:
    count = sum(1 for path in root.rglob("*.jpg")) if root.is_dir() else 0
    yield Check(what=f"{count:,} of 1,001,001 images", good=count == 1_001_001, missing=not count)
