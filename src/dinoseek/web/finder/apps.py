"""The app's name, as Django wants it."""

from django.apps import AppConfig


class FinderConfig(AppConfig):
    """The search page."""

    name = "dinoseek.web.finder"
    label = "finder"
    default_auto_field = "django.db.models.BigAutoField"
