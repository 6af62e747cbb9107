"""One picture per request, kept in memory, and only if all of it arrived."""

from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import InMemoryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import QueryDict
from django.http.multipartparser import MultiPartParser
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _

from dinoseek.errors import UsageError
from dinoseek.images.limits import check_bytes
from dinoseek.web.now import config

_END = 1_024  # bytes, of which the last line of a form is part


class OnePicture(FileUploadHandler):
    """Reads a form with at most one file, of at most as many bytes as a picture may have.

    Django takes a form that was cut off in its file for whole, and hands on what there is of it.
    """

    def handle_raw_input(
        self,
        input_data: Any,
        META: dict[str, Any],  # noqa: N803 - Django's name
        content_length: int,  # noqa: ARG002
        boundary: Any,
        encoding: str | None = None,
    ) -> "tuple[QueryDict, MultiValueDict[str, UploadedFile[bytes]]]":
        """The form's fields and its file; UsageError if it is not complete."""
        body = _Watched(input_data)
        encoding = encoding or settings.DEFAULT_CHARSET
        # its type asks for lines as well, which the parser never reads
        whole: Any = body
        parser = MultiPartParser(META, whole, [_InMemory(self.request)], encoding)
        fields, files = parser.parse()
        if b"--" + bytes(boundary) + b"--" not in body.end:
            reason, fix = _("it ends before it is complete"), _("send it again")
            raise UsageError("upload.cut", _("the upload"), reason, fix=fix)
        return fields, files


class _Watched:
    """A stream whose last bytes are remembered."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.end = b""

    def read(self, size: int | None = None, /) -> bytes:
        data: bytes = self._stream.read() if size is None else self._stream.read(size)
        self.end = (self.end + data[-_END:])[-_END:]
        return data


class _InMemory(FileUploadHandler):
    def __init__(self, request: Any = None) -> None:
        super().__init__(request)
        self._limits = config().limits
        self._data: BytesIO | None = None
        self._size = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if self._data is not None:
            reason, fix = _("it has more than one file"), _("send one picture at a time")
            raise UsageError("upload.several", _("the upload"), reason, fix=fix)
        self._data = BytesIO()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:  # noqa: ARG002
        self._size += len(raw_data)
        check_bytes(self._size, _("the picture"), self._limits)
        if self._data is not None:
            self._data.write(raw_data)

    def file_complete(self, file_size: int) -> "UploadedFile[bytes] | None":  # noqa: ARG002
        if self._data is None:
            return None
        self._data.seek(0)
        return InMemoryUploadedFile(
            file=self._data,
            field_name=self.field_name,
            name=self.file_name,
            content_type=self.content_type,
            size=self._size,
            charset=self.charset,
            content_type_extra=self.content_type_extra,
        )
