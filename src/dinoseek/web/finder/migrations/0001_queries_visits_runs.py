"""The first tables: kept queries, visits, indexing runs."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="IndexingRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("source", models.CharField(max_length=4096)),
                ("state", models.CharField(max_length=16)),
                ("started", models.DateTimeField()),
                ("finished", models.DateTimeField(null=True)),
                ("counts", models.JSONField(default=dict)),
                ("error", models.TextField(default="")),
            ],
        ),
        migrations.CreateModel(
            name="KeptQuery",
            fields=[
                ("key", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("owner", models.CharField(max_length=64)),
                ("digest", models.CharField(max_length=64)),
                ("fingerprint", models.CharField(max_length=16)),
                ("label", models.CharField(max_length=100)),
                ("vector", models.BinaryField()),
                ("picture", models.BinaryField(null=True)),
                ("width", models.IntegerField(default=0)),
                ("height", models.IntegerField(default=0)),
                ("created", models.DateTimeField()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["owner", "digest", "fingerprint"], name="query_of_owner"),
                    models.Index(fields=["created"], name="query_by_age"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Visit",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("owner", models.CharField(max_length=64)),
                ("key", models.CharField(max_length=32)),
                ("parameters", models.CharField(max_length=2048)),
                ("label", models.CharField(max_length=100)),
                ("when", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["owner", "-when"], name="visits_of_owner")],
                "constraints": [
                    models.UniqueConstraint(fields=("owner", "key", "parameters"), name="once_each")
                ],
            },
        ),
    ]
