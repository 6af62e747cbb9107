"""Which address shows what."""

from django.urls import path, re_path

from dinoseek.web.finder import converters  # noqa: F401 - gives addresses ids and keys
from dinoseek.web.finder.api import api
from dinoseek.web.finder.views import (
    browse,
    duplicates,
    errors,
    health,
    history,
    indexing,
    items,
    manual,
    media,
    preferences,
    search,
    token,
)
from dinoseek.web.now import config

urlpatterns = [
    path("", search.home, name="home"),
    path("search", search.send, name="search"),
    path("q/<key:key>", search.results, name="results"),
    path("item/<id:id>", items.show, name="item"),
    path("browse", browse.in_order, name="browse"),
    path("random", browse.at_random, name="random"),
    path("history", history.show, name="history"),
    path("history/forget", history.forget, name="forget"),
    path("history/clear", history.clear, name="clear"),
    path("media/query/<key:key>.jpg", media.query_picture, name="query-picture"),
    re_path(
        r"^media/(?P<id>[0-9]{1,18})/(?P<size>thumb|large)/(?P<digest>[0-9a-f]{16})\.jpg$",
        media.picture,
        name="media",
    ),
    path("duplicates", duplicates.show, name="duplicates"),
    path("duplicates/decide", duplicates.decide, name="decide"),
    path("duplicates/undo", duplicates.undo, name="undo"),
    path("preferences/theme", preferences.theme, name="theme"),
    path("preferences/language", preferences.language, name="language"),
    path("help", search.help_page, name="help"),
    path("favicon.ico", media.favicon),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("api/v1/", api.urls),
    path("api/docs", manual.show, name="api-docs"),
]
if config().originals:
    urlpatterns.append(path("original/<id:id>", media.original, name="original"))
if config().indexing_below is not None:
    urlpatterns += [
        path("indexing", indexing.show, name="indexing"),
        path("indexing/progress", indexing.progress, name="indexing-progress"),
        path("indexing/stop", indexing.stop, name="indexing-stop"),
    ]
if config().token is not None:
    urlpatterns.append(path("enter", token.enter, name="enter"))
if config().accounts:
    from dinoseek.web.finder.views import accounts  # its models need apps that are only there then

    urlpatterns += [
        path("accounts/login", accounts.log_in, name="login"),
        path("accounts/logout", accounts.log_out, name="logout"),
    ]
    if config().registration:
        urlpatterns.append(path("accounts/register", accounts.register, name="register"))

handler400 = errors.bad_request
handler403 = errors.forbidden
handler404 = errors.not_found
handler500 = errors.broken
