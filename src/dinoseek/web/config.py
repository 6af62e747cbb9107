"""How a server is started: where it listens, whom it lets in, what it allows, and its limits."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dinoseek.errors import UsageError
from dinoseek.images.limits import Limits

# Strangers send these; what a person indexes may be larger. TIFF is left out because its library
# floods the log, https://libtiff.gitlab.io/; 64 scans are far more than any camera writes.
WEB_LIMITS = Limits(
    max_bytes=10_000_000,
    max_pixels=33_200_000,
    max_scans=64,
    max_scanned_pixels=500_000_000,  # about half a second
    formats=("JPEG", "PNG", "WEBP", "GIF", "BMP"),
)
# What a form has besides the picture: its other fields and the lines around them.
FORM_BYTES = 500_000
LEAST_TOKEN = 16  # characters


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """What `dinoseek serve` was told; UsageError for what makes no sense or is not safe.

    `gallery` is the directory searched, `state_dir` where the server keeps queries, accounts and
    its secret. `indexing_below` are folders whose contents may be indexed from the page, None if
    nothing may; `operators` are the accounts that may do so, where there are accounts. `names` are
    further names of the site. `waiting` pictures may queue while one batch is embedded. `uploads`
    and `requests` are per minute and address, 0 without limit. `keep_pictures` is in hours,
    `keep_queries` in days.
    """

    gallery: Path
    state_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    accounts: bool = False
    registration: bool = True
    operators: tuple[str, ...] = ()
    allow_urls: bool = False
    indexing_below: tuple[Path, ...] | None = None
    originals: bool = False
    names: tuple[str, ...] = ()
    public_url: str | None = None
    trusted_proxy: str | None = None
    limits: Limits = WEB_LIMITS
    waiting: int = 16
    batch_size: int = 8
    uploads: int = 60
    requests: int = 3_000
    keep_pictures: float = 24.0
    keep_queries: float = 30.0

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < LEAST_TOKEN:
            reason = f"it has {len(self.token)} characters, at least {LEAST_TOKEN} are needed"
            fix = "make one: python3 -c 'import secrets; print(secrets.token_urlsafe())'"
            raise UsageError("serve.token", "--token", reason, fix=fix)
        if self.is_exposed and not (self.token or self.accounts):
            flag = f"--host {self.host}" if not self.is_local else f"--public-url {self.public_url}"
            reason = "whoever reaches this address could search your pictures"
            fix = "add --token or --accounts, or leave it out"
            raise UsageError("serve.open", flag, reason, fix=fix)
        if self.operators and not self.accounts:
            raise UsageError("serve.operator", "--operator", "names an account", fix="--accounts")
        self._check_public_url()

    def _check_public_url(self) -> None:
        if self.public_url is None:
            return
        parts = urlsplit(self.public_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            fix = "as in https://photos.example.org"
            reason = "it is no address of a site"
            raise UsageError("serve.public_url", self.public_url, reason, fix=fix)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_exposed(self) -> bool:
        """Whether strangers can reach it, by themselves or through a proxy."""
        return not self.is_local or self.public_url is not None

    @property
    def is_https(self) -> bool:
        """Whether people reach it through TLS, which a proxy in front ends."""
        return bool(self.public_url and self.public_url.startswith("https://"))

    @property
    def max_body(self) -> int:
        """The largest request, in bytes."""
        return self.limits.max_bytes + FORM_BYTES
