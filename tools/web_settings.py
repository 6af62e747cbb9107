"""Settings as mypy's Django plugin wants them: those of a server that was told nothing special."""

import tempfile
from pathlib import Path

from dinoseek.web.config import ServeConfig
from dinoseek.web.live.service import Service
from dinoseek.web.settings import settings_of

_state = Path(tempfile.mkdtemp(prefix="dinoseek-types-"))
SERVE_CONFIG = ServeConfig(gallery=_state, state_dir=_state, accounts=True)
SERVE_SERVICE: Service
globals().update(settings_of(SERVE_CONFIG))
