"""Makes docs/images/products.jpg: drawn products, two pictures of each.

python tools/products.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

from dinoseek.products.folder import photograph
from dinoseek.products.order import Order

TARGET = Path(__file__).parents[1] / "docs/images/products.jpg"
MOST_BYTES = 200_000
COLUMNS, SIDE = 10, 128


def main() -> None:
    plain = Order(size=2 * SIDE)  # drawn twice as large: smoother than the eye sees
    clutter = Order(size=2 * SIDE, background="clutter")
    rows = [
        [photograph(order, number, image) for number in range(first, first + COLUMNS)]
        for order, first, image in (
            (plain, 0, 0),
            (plain, 0, 1),
            (plain, 20, 0),
            (plain, 20, 1),
            (clutter, 30, 0),
        )
    ]
    sheet = Image.fromarray(np.vstack([np.hstack(row) for row in rows])).reduce(2)
    for quality in (92, 88, 84, 80):
        sheet.save(TARGET, "JPEG", quality=quality, optimize=True)
        if TARGET.stat().st_size <= MOST_BYTES:
            break
    print(TARGET, TARGET.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
