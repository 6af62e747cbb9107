"""Picture files as Pillow gets them, checked and trimmed, and its faults in our codes."""

import struct
from io import BytesIO
from typing import Any, NamedTuple

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from dinoseek.errors import ImageError
from dinoseek.images import jpeg, png, tiff
from dinoseek.images.limits import Limits, check_bytes, check_size
from dinoseek.images.sniff import declared_size, sniff

# Opened by hand, not by Image.open: no other parser can be entered, none can be registered over
# these, and a fault is raised instead of swallowed.
_OPENERS: dict[str, Any] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}

# Pillow unpacks run-length coded BMP in Python, about a microsecond per run of two bytes.
_MAX_RLE_BYTES = 1_000_000

# How Pillow says that bytes are missing, or that it lacks something; else the file is damaged.
_CUT = ("truncated", "not enough image data")
_LACKING = ("unsupported", "not supported", "not available", "cannot handle")


class Source(NamedTuple):
    """A file made ready for Pillow: format, bytes, EXIF block if known, bits per PNG sample."""

    kind: str
    data: bytes
    exif: bytes | None = None
    depth: int = 8
    is_exotic: bool = False  # a JPEG process that a decoder need not know


class _Reader(BytesIO):
    """A file that remembers whether more was asked for than it has."""

    ran_out = False

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        if size is not None and len(piece) < size:
            self.ran_out = True
        return piece


def prepare(data: bytes, subject: object, limits: Limits) -> Source:
    """Checks what can be checked without a decoder: format, size in bytes and pixels, scans."""
    check_bytes(len(data), subject, limits)
    kind = _allowed_kind(data, subject, limits)
    try:
        size = declared_size(data, kind)
    except (struct.error, IndexError) as exc:
        raise ImageError("image.truncated", subject, "the file ends inside its header") from exc
    if size:
        check_size(*size, subject, limits)
    match kind:
        case "JPEG":
            return _prepare_jpeg(data, subject, limits)
        case "PNG":
            trimmed, depth = png.parse(data, subject)
            return Source(kind, trimmed, depth=depth)
        case "GIF" if size is None:
            raise ImageError("image.corrupt", subject, "it is a GIF file without a picture")
        case "BMP" if _is_run_length_coded(data) and len(data) > _MAX_RLE_BYTES:
            raise ImageError("image.unsupported", subject, "a run-length coded BMP of over 1 MB")
    return Source(kind, data)


def _is_run_length_coded(data: bytes) -> bool:
    return data[14] != 12 and data[30:34] in (b"\1\0\0\0", b"\2\0\0\0")


def _allowed_kind(data: bytes, subject: object, limits: Limits) -> str:
    kind = sniff(data)
    if kind is None:
        raise ImageError("image.unrecognised", subject, "it is not a picture of a known format")
    if kind not in limits.formats:
        reason = f"{kind} is not among the formats read here: {', '.join(limits.formats)}"
        fix = "convert it to JPEG or PNG"
        raise ImageError("image.format_not_allowed", subject, reason, fix=fix)
    return kind


def _prepare_jpeg(data: bytes, subject: object, limits: Limits) -> Source:
    head = jpeg.parse(data, subject, limits)
    check_size(*head.size, subject, limits)
    if head.bits != 8 or head.components not in (1, 3, 4):
        reason = f"a JPEG file of {head.components} components with {head.bits} bits"
        raise ImageError("image.unsupported", subject, reason)
    return Source("JPEG", head.data, exif=head.exif, is_exotic=head.is_exotic)


def open_image(source: Source, subject: object, limits: Limits) -> Image.Image:
    """Opens the file as far as its header, and checks the size again: Pillow's word counts."""
    if source.kind == "TIFF":
        tiff.hush()
    reader = _Reader(source.data)
    try:
        image: Image.Image = _OPENERS[source.kind](reader)
    except Exception as exc:
        raise _open_error(exc, source, reader.ran_out, subject) from exc
    check_size(*image.size, subject, limits)
    return image


def _open_error(exc: Exception, source: Source, ran_out: bool, subject: object) -> ImageError:
    if not (ran_out or _is_cut(exc, source)) and source.kind in ("TIFF", "BMP"):
        reason = f"a kind of {source.kind} that Pillow does not read: {exc}"
        return ImageError("image.unsupported", subject, reason, fix="convert it to JPEG or PNG")
    return image_error(exc, source, subject, is_cut=ran_out)


def image_error(
    exc: Exception, source: Source, subject: object, *, is_cut: bool = False
) -> ImageError:
    """Whatever Pillow raises about a file, and it raises a dozen types, as one of ours."""
    match exc:
        case ImageError():
            return exc
        case MemoryError():
            return ImageError(
                "image.decode_oom", subject, "there is not enough memory to decode it"
            )
        case Image.DecompressionBombError():
            return ImageError("image.too_many_pixels", subject, "more pixels than Pillow opens")
    message = str(exc).lower()
    if is_cut or _is_cut(exc, source):
        return ImageError("image.truncated", subject, "the file ends before its pixels do")
    if source.is_exotic or any(words in message for words in _LACKING):
        return ImageError("image.unsupported", subject, f"no decoder for this {source.kind}: {exc}")
    return ImageError("image.corrupt", subject, f"the file is damaged: {exc}")


def _is_cut(exc: Exception, source: Source) -> bool:
    if source.kind == "WEBP" and 8 + struct.unpack_from("<I", source.data, 4)[0] > len(source.data):
        return True
    return any(words in str(exc).lower() for words in _CUT)
