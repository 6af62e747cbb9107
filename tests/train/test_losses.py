"""Losses against loops that take each formula at its word, and their gradients."""

import math

import numpy as np
import pytest

from dinoseek.errors import UsageError

torch = pytest.importorskip("torch")

from dinoseek.train.losses import pairs, proxies, rankings  # noqa: E402
from dinoseek.train.losses.make import LOSSES, Matryoshka, make_loss  # noqa: E402

pytestmark = pytest.mark.torch

LABELS = [0, 0, 1, 2, 1, 0, 3, 2]  # 3 is alone
DIM = 6


def batch(labels=LABELS, seed=0):
    """Embeddings (b, d) in float64, of other lengths than one, and labels."""
    made = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(len(labels), DIM, generator=made, dtype=torch.float64) * 3
    return embeddings, torch.tensor(labels)


def cosine_table(embeddings):
    rows = embeddings.numpy()
    unit = [row / math.sqrt(sum(value * value for value in row)) for row in rows]
    return [[float(np.dot(a, b)) for b in unit] for a in unit]


def positives_of(i, labels):
    return [j for j, label in enumerate(labels) if label == labels[i] and j != i]


def negatives_of(i, labels):
    return [j for j, label in enumerate(labels) if label != labels[i]]


def naive_ntxent(s, labels, t=0.07):
    found = []
    for i in range(len(labels)):
        rest = sum(math.exp(s[i][k] / t) for k in negatives_of(i, labels))
        found += [
            -math.log(math.exp(s[i][j] / t) / (math.exp(s[i][j] / t) + rest))
            for j in positives_of(i, labels)
        ]
    return sum(found) / len(found)


def naive_supcon(s, labels, t=0.1):
    found = []
    for i in range(len(labels)):
        rest = sum(math.exp(s[i][k] / t) for k in range(len(labels)) if k != i)
        if own := positives_of(i, labels):
            found.append(-sum(math.log(math.exp(s[i][j] / t) / rest) for j in own) / len(own))
    return sum(found) / len(found)


def naive_triplet(s, labels, margin=0.2):
    found = []
    for i in range(len(labels)):
        if own := positives_of(i, labels):
            furthest = max(math.sqrt(2 - 2 * s[i][j]) for j in own)
            nearest = min(math.sqrt(2 - 2 * s[i][k]) for k in negatives_of(i, labels))
            found.append(max(0.0, furthest - nearest + margin))
    return sum(found) / len(found)


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def smooth_rank(s, i, j, among, t=0.01):
    return 1 + sum(sigmoid((s[i][k] - s[i][j]) / t) for k in among if k not in (i, j))


def naive_smooth_ap(s, labels):
    found = []
    for i in range(len(labels)):
        if own := positives_of(i, labels):
            everything = range(len(labels))
            precisions = [smooth_rank(s, i, j, own) / smooth_rank(s, i, j, everything) for j in own]
            found.append(1 - sum(precisions) / len(own))
    return sum(found) / len(found)


def naive_recall_at_k(s, labels, ks=(1, 2, 4, 8)):
    found = []
    for i in range(len(labels)):
        if own := positives_of(i, labels):
            ranks = [smooth_rank(s, i, j, range(len(labels))) for j in own]
            shares = [min(1, sum(sigmoid(k - r) for r in ranks) / min(k, len(own))) for k in ks]
            found.append(1 - sum(shares) / len(ks))
    return sum(found) / len(found)


NAIVE = {
    "ntxent": naive_ntxent,
    "supcon": naive_supcon,
    "triplet": naive_triplet,
    "smooth-ap": naive_smooth_ap,
    "recall-at-k": naive_recall_at_k,
}


@pytest.mark.parametrize("name", NAIVE)
@pytest.mark.parametrize("seed", range(3))
def test_a_loss_is_its_formula(name, seed):
    embeddings, labels = batch(seed=seed)

    found = LOSSES[name](embeddings, labels)

    expected = NAIVE[name](cosine_table(embeddings), LABELS)
    assert float(found) == pytest.approx(expected, abs=1e-9)


def test_infonce_compares_queries_with_positives_only():
    labels = [0, 1, 2, 0] * 2  # queries, then their positives; the first and the last are of one
    embeddings, tensor = batch(labels)
    s = cosine_table(embeddings)
    expected = 0.0
    for i in range(4):
        columns = [j for j in range(4) if j == i or labels[j] != labels[i]]
        rest = sum(math.exp(s[i][4 + j] / 0.05) for j in columns)
        expected -= math.log(math.exp(s[i][4 + i] / 0.05) / rest) / 4

    assert float(pairs.infonce(embeddings, tensor)) == pytest.approx(expected, abs=1e-9)


def test_infonce_wants_positives_in_the_order_of_queries():
    embeddings, labels = batch([0, 1, 1, 0])

    with pytest.raises(ValueError, match="in the same order"):
        pairs.infonce(embeddings, labels)


def proxy_table(embeddings, vectors):
    return (
        (embeddings / embeddings.norm(dim=1, keepdim=True))
        @ (vectors / vectors.norm(dim=1, keepdim=True)).T
    ).tolist()


def test_proxy_anchor_is_its_formula():
    embeddings, labels = batch()
    loss = proxies.ProxyAnchor(5, DIM).double()  # the class 4 is not in the batch
    s = proxy_table(embeddings, loss.proxies.detach())
    near, far = [], []
    for proxy in range(5):
        own = [i for i, label in enumerate(LABELS) if label == proxy]
        others = [i for i, label in enumerate(LABELS) if label != proxy]
        if own:
            near.append(math.log(1 + sum(math.exp(-32 * (s[i][proxy] - 0.1)) for i in own)))
        far.append(math.log(1 + sum(math.exp(32 * (s[i][proxy] + 0.1)) for i in others)))

    expected = sum(near) / len(near) + sum(far) / len(far)

    assert float(loss(embeddings, labels).detach()) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("margin", [0.25, 3.0])  # 3: most angles go past half a turn
def test_arcface_adds_an_angle_to_the_nearest_center_of_the_own_class(margin):
    embeddings, labels = batch()
    loss = proxies.SubCenterArcFace(4, DIM, margin=margin).double()
    s = proxy_table(embeddings, loss.centers.detach())
    expected = 0.0
    for i, label in enumerate(LABELS):
        nearest = [max(s[i][3 * c : 3 * c + 3]) for c in range(4)]
        angle = math.acos(nearest[label])
        turned = math.cos(angle + margin)
        if angle + margin > math.pi:
            turned = nearest[label] - margin * math.sin(margin)
        logits = [32 * (turned if c == label else nearest[c]) for c in range(4)]
        expected -= logits[label] - math.log(sum(math.exp(each) for each in logits))

    assert float(loss(embeddings, labels).detach()) == pytest.approx(expected / 8, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_differences(name):
    labels = [0, 1, 2, 0, 1, 2]  # fits infonce too
    embeddings, tensor = batch(labels, seed=4)
    options = {"temperature": 0.3} if name in ("smooth-ap", "recall-at-k") else {}
    loss = make_loss(name, classes=3, dim=DIM, options={name: options}).double()

    assert torch.autograd.gradcheck(
        lambda x: loss(x, tensor), embeddings.requires_grad_(), atol=1e-5
    )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [1, 1, 1, 1]])
def test_a_batch_with_nothing_to_compare_breaks_nothing(name, labels):
    if name == "infonce":
        labels = labels[:2] * 2
    embeddings, tensor = batch(labels)
    embeddings.requires_grad_()

    loss = make_loss(name, classes=4, dim=DIM).double()(embeddings, tensor)
    loss.backward()

    assert torch.isfinite(loss)
    assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_equal_embeddings_of_one_label_have_finite_gradients(name):
    labels = torch.tensor([0, 1, 0, 1])
    embeddings = torch.ones(4, DIM).requires_grad_()

    make_loss(name, classes=2, dim=DIM)(embeddings, labels).backward()

    assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_float32_under_autocast(name):
    embeddings, labels = batch([0, 1, 0, 1])
    with torch.autocast("cpu", torch.bfloat16):
        found = make_loss(name, classes=2, dim=DIM)(embeddings.bfloat16(), labels)

    assert found.dtype == torch.float32


def test_large_batches_are_taken_in_parts_with_the_same_result(monkeypatch):
    embeddings, labels = batch()
    whole = [float(loss(embeddings, labels)) for loss in (rankings.smooth_ap, rankings.recall_at_k)]
    monkeypatch.setattr(rankings, "_AT_ONCE", 130)  # two queries of eight

    parts = [float(loss(embeddings, labels)) for loss in (rankings.smooth_ap, rankings.recall_at_k)]

    assert parts == pytest.approx(whole, abs=1e-12)


def test_losses_are_added_with_their_weights():
    embeddings, labels = batch()
    options = {"triplet": {"margin": 0.5}}

    found = make_loss("ntxent + 0.25*triplet", classes=4, dim=DIM, options=options)

    expected = pairs.ntxent(embeddings, labels) + 0.25 * pairs.triplet(embeddings, labels, 0.5)
    assert float(found(embeddings, labels)) == pytest.approx(float(expected))


def test_proxies_are_parameters_of_the_loss():
    loss = make_loss("ntxent+0.5*arcface", classes=7, dim=DIM)

    assert [tuple(each.shape) for each in loss.parameters()] == [(21, DIM)]
    assert not list(make_loss("ntxent", classes=7, dim=DIM).parameters())


def test_matryoshka_is_the_mean_over_the_first_values():
    embeddings, labels = batch()

    found = make_loss("ntxent", classes=4, dim=DIM, matryoshka=[2, 3])

    assert isinstance(found, Matryoshka)
    expected = sum(pairs.ntxent(embeddings[:, :width], labels) for width in (2, 3, DIM)) / 3
    assert float(found(embeddings, labels)) == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("infonc", {}, "infonc: there is no such loss; use one of ntxent, infonce"),
        ("ntxent+x*supcon", {}, r"x\*supcon: its weight must be a positive number"),
        ("ntxent+-1*supcon", {}, "must be a positive number"),
        ("ntxent+nan*supcon", {}, "must be a positive number"),
        (
            "ntxent",
            {"options": {"ntxent": {"margin": 1}}},
            "margin: is no option of ntxent; .*temperature",
        ),
        ("ntxent", {"options": {"triplet": {}}}, "triplet: has options, but the loss is ntxent"),
        ("arcface", {"matryoshka": [2]}, "no proxies"),
        ("ntxent", {"matryoshka": [9]}, r"matryoshka \[9\]: expected different widths below 6"),
        ("ntxent", {"matryoshka": [2, 2]}, "expected different widths"),
    ],
)
def test_what_there_is_not_is_refused_by_name(name, more, said):
    with pytest.raises(UsageError, match=said) as caught:
        make_loss(name, classes=3, dim=DIM, **more)

    assert caught.value.code == "train.loss"
