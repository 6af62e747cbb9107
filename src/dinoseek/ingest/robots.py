"""What a server does not want to be fetched or used: robots.txt and X-Robots-Tag."""

import threading
from collections.abc import Callable
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

_NAME = "dinoseek"
_NO = {"noai", "noimageai", "noindex", "noimageindex", "none"}
_MOST_HOSTS = 10_000


def opted_out(tag: str) -> bool:
    """Whether an X-Robots-Tag header, for everyone or for us, says no; in any case.

    As img2dataset reads it, for which these words were made: "noai", "otherbot: index, noai".
    """
    ours = True
    for part in tag.lower().split(","):
        agent, colon, rule = part.rpartition(":")
        if colon:
            ours = agent.strip() in ("", "*", _NAME)
        if ours and rule.strip() in _NO:
            return True
    return False


class Robots:
    """What the robots.txt of each host allows; `fetch` gives its text, None if there is none."""

    def __init__(self, user_agent: str, fetch: Callable[[str], bytes | None]) -> None:
        self._user_agent = user_agent
        self._fetch = fetch
        self._lock = threading.Lock()
        self._rules: dict[str, RobotFileParser] = {}

    def allow(self, url: str) -> bool:
        """Whether an address may be fetched."""
        parts = urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc}"
        with self._lock:
            rules = self._rules.get(host)
        if rules is None:
            rules = RobotFileParser()
            text = self._fetch(f"{host}/robots.txt")
            rules.parse((text or b"").decode("utf-8", "replace").splitlines())
            with self._lock:
                if len(self._rules) >= _MOST_HOSTS:
                    self._rules.clear()
                self._rules[host] = rules
        return rules.can_fetch(self._user_agent, url)
