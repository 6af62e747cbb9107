"""Settings as mypy's Django plugin wants them: those of a server that was told nothing special."""

import tempfile
from pathlib import Path

from dinoseek.web.config import ServeConfig
from dinoseek.web.settings import settings_of

_state = Path(tempfile.mkdtemp(prefix="dinoseek-types-"))
globals().update(settings_of(ServeConfig(gallery=_state, state_dir=_state, accounts=True)))
