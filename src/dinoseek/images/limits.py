"""How large a picture may be before it is refused unopened."""

from dataclasses import dataclass

from dinoseek.errors import ImageError

_NUMBERS = ("max_bytes", "max_pixels", "max_side", "max_scans", "max_scanned_pixels")
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What `decode` accepts; a picture over any of these is refused before a pixel is allocated.

    The number of scans matters because each scan of a progressive JPEG passes over all pixels
    again: 140 KB of empty scans keep a decoder busy for seconds. `max_scanned_pixels` bounds pixels
    times scans; cameras and programs write about ten scans.
    """

    max_bytes: int = 64_000_000
    max_pixels: int = 50_000_000
    max_side: int = 30_000
    max_scans: int = 256
    max_scanned_pixels: int = 12_800_000_000
    formats: tuple[str, ...] = FORMATS

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if unknown := set(self.formats) - set(FORMATS):
            raise ValueError(f"formats has {sorted(unknown)}, known are {', '.join(FORMATS)}")

    def scans_of(self, width: int, height: int) -> int:
        """How many scans a progressive JPEG of `width` x `height` pixels may have."""
        return min(self.max_scans, max(1, self.max_scanned_pixels // max(1, width * height)))


DEFAULT_LIMITS = Limits()


def check_bytes(size: int, subject: object, limits: Limits) -> None:
    """Refuses an empty file and one over the limit."""
    if size == 0:
        raise ImageError("image.empty", subject, "the file is empty")
    if size > limits.max_bytes:
        raise ImageError(
            "image.too_large_bytes",
            subject,
            f"{size / 1e6:.1f} MB, the limit is {limits.max_bytes / 1e6:g} MB",
            fix=f"--max-megabytes {_rounded_up(size)} lets it in",
        )


def check_size(width: int, height: int, subject: object, limits: Limits) -> None:
    """Refuses a picture of `width` x `height` pixels if that is nothing, too many or too long."""
    if width < 1 or height < 1:
        raise ImageError("image.unrecognised", subject, f"its size is {width} x {height} pixels")
    if max(width, height) > limits.max_side:
        raise ImageError(
            "image.too_many_pixels",
            subject,
            f"{width} x {height} pixels, no side may be over {limits.max_side}",
            fix="crop or shrink it first",
        )
    if width * height > limits.max_pixels:
        raise ImageError(
            "image.too_many_pixels",
            subject,
            f"{width} x {height} pixels, the limit is {limits.max_pixels / 1e6:g} megapixels",
            fix=f"--max-megapixels {_rounded_up(width * height)} lets it in",
        )


def _rounded_up(count: int) -> int:
    return -(-count // 1_000_000)
