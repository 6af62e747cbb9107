"""The one thing that matters in a picture's EXIF block: which way up it is."""

import struct

from PIL import Image

_ORIENTATION, _SHORT = 0x0112, 3

# What turns a picture of each orientation upright; 1 is upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


SIDEWAYS = (5, 6, 7, 8)  # the orientations that exchange width and height


def upright(image: Image.Image, exif: bytes | None) -> Image.Image:
    """Turns `image` as its EXIF block says."""
    turn = TURNS.get(orientation(exif)) if exif else None
    return image if turn is None else image.transpose(turn)


def orientation(exif: bytes) -> int:
    """1 to 8; a block that is broken, or says anything else, counts as 1.

    Only the first directory is read. Pillow's reader knows far more, and damaged blocks make it
    warn or raise in many ways.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2], "=")
    try:
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, length, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if tag == _ORIENTATION:
                return value if (kind, length) == (_SHORT, 1) and value in TURNS else 1
    except struct.error:  # it ends early
        pass
    return 1
