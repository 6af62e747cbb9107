"""A decoder pool without processes, for tests in which nothing is wrong with the decoder."""

from dinoseek.images.decode import decode_sized
from dinoseek.images.perceptual_hash import look
from dinoseek.images.pool import Decoded
from dinoseek.images.thumbnail import thumbnail_jpeg


class HerePool:
    """Decodes in the calling thread: a hundred runs need no two hundred processes."""

    def __init__(self, preset, limits, *, thumbnail=False, workers=2):
        self.preset, self.limits, self.thumbnail = preset, limits, thumbnail
        self.workers = workers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def decode(self, data, subject):
        preset = self.preset
        image, (width, height) = decode_sized(
            data,
            subject=subject,
            limits=self.limits,
            faithful=preset.faithful,
            least_side=preset.least_side,
        )
        return Decoded(
            prepared=preset.apply(image),
            width=width,
            height=height,
            format=image.format,
            look=look(image),
            thumbnail=thumbnail_jpeg(image) if self.thumbnail else None,
        )
