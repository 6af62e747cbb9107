"""A decoder process that does what the picture's bytes say: crash, hang, eat memory, or obey."""

import os
import time

from dinoseek.images import decoder


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
        case b"babble":
            os.write(1, b"noise" * 100)
            os.write(2, b"noise" * 100)
            data = data.split(b" ", 1)[1]
    return obedient(data, *arguments)


obedient = decoder._decoded
decoder._decoded = misbehave

if __name__ == "__main__":
    decoder.main()
