"""What a server does not want to be fetched or used: robots.txt and X-Robots-Tag."""

import threading
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

_NAME = "dinoseek"
_NO = {"noai", "noimageai", "noindex", "noimageindex", "none"}
_WITH_VALUES = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
_MOST_HOSTS = 10_000


def opted_out(tags: Iterable[str]) -> bool:
    """Whether one of the X-Robots-Tag headers, for everyone or for us, says no; in any case.

    As img2dataset reads them, for which these words were made: "noai", "otherbot: index, noai".
    """
    return any(_says_no(tag.lower()) for tag in tags)


def _says_no(tag: str) -> bool:
    agent, colon, rules = tag.partition(":")
    agent = agent.strip()
    if not colon or "," in agent or agent in _WITH_VALUES:  # no agent: it is for everyone
        agent, rules = "*", tag
    words = {rule.strip() for rule in rules.split(",")}
    return agent in ("*", _NAME) and not _NO.isdisjoint(words)


class Robots:
    """What the robots.txt of each host allows."""

    def __init__(self, user_agent: str) -> None:
        self._user_agent = user_agent
        self._lock = threading.Lock()
        self._rules: dict[str, RobotFileParser] = {}

    def allow(self, url: str, fetch: Callable[[str], bytes]) -> bool:
        """Whether an address may be fetched. `fetch` gives a robots.txt, empty if there is none.

        What it raises, a server that could not say, is passed on: it is asked again next time.
        """
        parts = urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc}"
        rules = self._rules.get(host)
        if rules is None:
            rules = RobotFileParser()
            rules.parse(fetch(f"{host}/robots.txt").decode("utf-8", "replace").splitlines())
            with self._lock:
                if len(self._rules) >= _MOST_HOSTS:
                    self._rules.clear()
                self._rules[host] = rules
        return rules.can_fetch(self._user_agent, url)
