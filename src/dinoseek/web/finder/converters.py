"""What stands in addresses: an image's id, and the key of a search's first picture."""

from django.urls import register_converter

from dinoseek.web.finder.question import is_key


class IdConverter:
    """A number of up to 18 digits: SQLite's ids are smaller than 2^63."""

    regex = "[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


class KeyConverter:
    """An id, or the key of a kept query."""

    regex = "[0-9A-Za-z_-]{1,32}"

    def to_python(self, value: str) -> str:
        if not is_key(value):
            raise ValueError("no key")
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(IdConverter, "id")
register_converter(KeyConverter, "key")
