"""What the server remembers for a while: pictures that were searched with, and who searched."""

from django.db import models


class KeptQuery(models.Model):
    """A picture or vector that was searched with, so that its results have an address.

    `vector` is (d,) of float32 in bytes, of unit length, made by the embedder `fingerprint`.
    `picture` is a re-encoded JPEG of at most 1024 pixels a side, for showing and for cutting
    regions from; it goes before the vector does. `owner` is who asked, see `people.owner_of`.
    """

    key = models.CharField(primary_key=True, max_length=32)
    owner = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=16)
    label = models.CharField(max_length=100)
    vector = models.BinaryField()
    picture = models.BinaryField(null=True)
    width = models.IntegerField(default=0)
    height = models.IntegerField(default=0)
    created = models.DateTimeField()

    class Meta:
        indexes = [  # noqa: RUF012 - Django's way
            models.Index(fields=["owner", "digest", "fingerprint"], name="query_of_owner"),
            models.Index(fields=["created"], name="query_by_age"),
        ]

    def __str__(self) -> str:
        return self.label


class Visit(models.Model):
    """A search that somebody looked at: a path and its parameters, once each, by its last time."""

    owner = models.CharField(max_length=64)
    key = models.CharField(max_length=32)
    parameters = models.CharField(max_length=2048)
    label = models.CharField(max_length=100)
    when = models.DateTimeField()

    class Meta:
        constraints = [  # noqa: RUF012
            models.UniqueConstraint(fields=["owner", "key", "parameters"], name="once_each")
        ]
        indexes = [models.Index(fields=["owner", "-when"], name="visits_of_owner")]  # noqa: RUF012

    def __str__(self) -> str:
        return self.label


class IndexingRun(models.Model):
    """A run of indexing that was started from the page, and how it ended."""

    source = models.CharField(max_length=4096)
    state = models.CharField(max_length=16)
    started = models.DateTimeField()
    finished = models.DateTimeField(null=True)
    counts = models.JSONField(default=dict)
    error = models.TextField(default="")

    def __str__(self) -> str:
        return self.source
