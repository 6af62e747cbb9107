"""Pictures that were searched with, kept for a while so that their results have an address."""

import secrets
from datetime import timedelta

import numpy as np
from django.db import transaction
from django.utils import timezone

from dinoseek.errors import UsageError, printable
from dinoseek.vit.ops import Array
from dinoseek.web.finder.models import KeptQuery, Visit
from dinoseek.web.live.pictures import Picture
from dinoseek.web.now import config, service

_MOST_KEPT = 20_000  # about 2 GB of pictures; the oldest go first
_MOST_VISITS = 100_000
_LABEL = 60  # characters


def keep_picture(owner: str, picture: Picture, name: str) -> str:
    """Keeps a picture that somebody sent; returns its key. The same one is kept once for each."""
    same = KeptQuery.objects.filter(
        owner=owner, digest=picture.digest, fingerprint=_fingerprint()
    ).first()
    if same is not None:
        same.created, same.picture = timezone.now(), picture.preview
        same.save(update_fields=["created", "picture"])
        return same.key
    return _keep(
        owner=owner,
        digest=picture.digest,
        label=label_of(name),
        vector=picture.vector,
        picture=picture.preview,
        width=picture.width,
        height=picture.height,
    )


def _keep(*, vector: Array, **values: object) -> str:
    key = f"q{secrets.token_urlsafe(16)}"  # never all digits, which would be an image's id
    KeptQuery.objects.create(
        key=key,
        vector=np.ascontiguousarray(vector, np.float32).tobytes(),
        fingerprint=_fingerprint(),
        created=timezone.now(),
        **values,
    )
    return key


def _fingerprint() -> str:
    return service().embedder.fingerprint.id


def label_of(name: str) -> str:
    """A file's name for people: its last part, printable, and short."""
    last = name.replace("\\", "/").rpartition("/")[2]
    text = printable(last).strip() or "picture"
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 9]}…{text[-8:]}"


def kept(key: str) -> KeptQuery:
    """What was kept by this key.

    Raises UsageError query.expired for what is not there any more, or was made by another model.
    """
    found = KeptQuery.objects.filter(key=key, fingerprint=_fingerprint()).first()
    oldest = timezone.now() - timedelta(days=config().keep_queries)
    if found is None or found.created < oldest:
        reason = "pictures that were searched with are kept for a while only"
        raise UsageError("query.expired", "this search", reason, fix="search with it again")
    return found


def picture_of(found: KeptQuery) -> bytes | None:
    """The picture as it was kept; None once it has gone."""
    oldest = timezone.now() - timedelta(hours=config().keep_pictures)
    return bytes(found.picture) if found.picture and found.created >= oldest else None


def vector_of(found: KeptQuery) -> Array:
    """The picture's embedding (d,)."""
    return np.frombuffer(bytes(found.vector), np.float32)


def note_visit(owner: str, key: str, parameters: str, label: str) -> None:
    """Remembers that somebody looked at a search."""
    Visit.objects.update_or_create(
        owner=owner,
        key=key,
        parameters=parameters[:2048],
        defaults={"label": label_of(label), "when": timezone.now()},
    )


def forget_old() -> None:
    """Forgets what has been kept long enough, and the oldest of what is too much."""
    now, settings = timezone.now(), config()
    oldest = now - timedelta(days=settings.keep_queries)
    with transaction.atomic():
        KeptQuery.objects.filter(created__lt=oldest).delete()
        Visit.objects.filter(when__lt=oldest).delete()
        pictures = now - timedelta(hours=settings.keep_pictures)
        KeptQuery.objects.filter(created__lt=pictures).exclude(picture=None).update(picture=None)
        for model, age, most in ((KeptQuery, "created", _MOST_KEPT), (Visit, "when", _MOST_VISITS)):
            first_too_much = model.objects.order_by(f"-{age}")[most : most + 1].first()
            if first_too_much is not None:
                bound = {f"{age}__lte": getattr(first_too_much, age)}
                model.objects.filter(**bound).delete()


def hand_over(browser: str, account: str) -> None:
    """Gives what a browser searched to the account that has just come in with it."""
    KeptQuery.objects.filter(owner=browser).update(owner=account)
    Visit.objects.filter(owner=browser).exclude(
        key__in=Visit.objects.filter(owner=account).values("key")
    ).update(owner=account)
