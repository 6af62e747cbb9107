"""A decoder process that does what the picture's bytes say: crash, hang, eat memory, or obey."""

import os
import sys
import time

from dinoseek.images import decoder


class Endless(bytes):
    def __len__(self):
        return 1 << 28


def misbehave(data, *arguments):
    match bytes(data).split(b" ")[0]:
        case b"crash":
            os.abort()
        case b"sleep":
            time.sleep(600)
        case b"compute":
            while True:
                pass
        case b"eat":
            hoard = [bytearray(1 << 20) for _ in range(int(data.split()[1]))]
            return {"error": f"{len(hoard)} MB were to be had"}, []
        case b"lie":
            shape = {"shape": [1000, 1000, 3], "width": 1, "height": 1, "format": ""}
            return {
                b"shape": (shape, [b"123", b"", b""]),
                b"size": (shape, [Endless(), b"", b""]),
                b"words": ({"error": "no"}, []),
            }[data.split()[1]]
        case b"babble":
            os.write(1, b"noise" * 100)
            os.write(2, b"noise" * 100)
            data = data.split(b" ", 1)[1]
    return obedient(data, *arguments)


obedient = decoder._decoded
decoder._decoded = misbehave
decoder._ORPHAN_SECONDS = 0.5

if __name__ == "__main__":
    sys.exit(decoder.main())
