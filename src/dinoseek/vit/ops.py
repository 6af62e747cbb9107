"""Types of the engine."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Params = dict[str, Any]
