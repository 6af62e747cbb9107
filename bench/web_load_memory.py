"""What the server holds while it is used for long: one of the measures of bench/web_load.py."""

import random
import re
import time

import numpy as np

import web_load_crowd as crowd
from web_load_pictures import distinct
from web_load_stand import IMAGES, PICTURES, figure
from web_load_visitor import api_upload, page_upload, request


def memory(stand):
    """What it holds while people and programs use it for long, after a fifth of the requests."""
    visitors = [stand.visitor() for _ in range(4)]
    chunk = max(100, stand.requests // 50)
    made = Mixture(visitors)
    seen, sent, failed, refused = [stand.server.usage()], 0, 0, 0
    begin = time.monotonic()
    while sent < stand.requests:
        answers = stand.crowds.submit(
            crowd.wander, stand.port, [made.request() for _ in range(chunk)], 4
        ).result()
        sent += len(answers)
        failed += sum(each.status >= 500 or each.status == 0 for each in answers)
        refused += sum(400 <= each.status < 500 for each in answers)
        seen.append(stand.server.usage())
    warm = seen[len(seen) // 5 :]
    rows = {
        "requests": figure(sent),
        "requests/s": figure(sent / (time.monotonic() - begin)),
        "no or 5xx answers": figure(failed, most=0),
        "4xx answers": figure(refused / sent, least=0.01, most=0.04),  # 2 of 97 are meant to be
    }
    for name in ("rss", "decoders rss"):
        amounts = [each[name] for each in warm]
        slope = np.polyfit(np.arange(len(warm)) * chunk, amounts, 1)[0] * 10_000
        rows[f"{name}, MB"] = figure(amounts[-1])
        rows[f"{name}, MB/10,000"] = figure(slope, most=1)
    for name, most in (("fds", 5), ("threads", 0)):
        rows[f"{name}"] = figure(warm[-1][name])
        rows[f"{name}, more"] = figure(warm[-1][name] - warm[0][name], most=most)
    rows["temporary files"] = figure(max(each["temporary"] for each in seen), most=0)
    log = (seen[-1]["log"] - seen[0]["log"]) / sent
    rows["log, bytes/request"] = figure(log, most=1_000)
    return rows


class Mixture:
    """Requests of all kinds by a few visitors, always the same ones."""

    def __init__(self, visitors, distinct_pictures=300):
        self._random = random.Random(0)
        self._browsers = [visitor.browser for visitor in visitors]
        self._pictures = [distinct(PICTURES[n % len(PICTURES)]) for n in range(distinct_pictures)]
        page = visitors[0].get("/browse").body.decode()
        self._thumbnails = re.findall(r"/media/\d+/thumb/\w+\.jpg", page)
        self._static = re.findall(r'/static/[^"]+\.(?:css|js)', page)
        self._results = [
            re.search(r"/q/[\w-]+", visitor.upload(picture).body.decode())[0]
            for visitor in visitors
            for picture in self._pictures[:5]
        ]

    def request(self):
        choose = self._random
        browser, id = choose.choice(self._browsers), choose.randint(1, IMAGES)
        kinds = {
            "page upload": 20, "api upload": 10, "bad upload": 1, "results": 10, "thumbnail": 20,
            f"/q/{id}": 8, f"/q/{id}?plus={1 + id % IMAGES}&k=40": 4, f"/item/{id}": 5,
            f"/browse?page={choose.randint(1, 5)}": 3, f"/random?seed={id}": 2, "/": 4,
            "/history": 2, "/help": 1, f"/api/v1/items/{id}/similar?k=5": 5, "/api/v1/gallery": 1,
            "/healthz": 1, "/readyz": 1, "/metrics": 1, "static": 3, f"/item/{10**9 + id}": 1,
        }  # fmt: skip
        (kind,) = choose.choices(list(kinds), list(kinds.values()))
        match kind:
            case "page upload":
                return page_upload(choose.choice(self._pictures), browser)
            case "api upload":
                return api_upload(choose.choice(self._pictures))
            case "bad upload":
                part = choose.choice(self._pictures)[: choose.randint(1, 9_000)]
                return page_upload(part, browser)
        lists = {"results": self._results, "thumbnail": self._thumbnails, "static": self._static}
        path = choose.choice(lists[kind]) if kind in lists else kind
        return request("GET", path, cookies=browser.cookies)
