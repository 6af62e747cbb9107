"""The settings: the only ones there are, safe as Django counts it, and named hosts only."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from dinoseek.errors import MachineError, UsageError
from dinoseek.web.config import ServeConfig

ROOT = Path(__file__).parents[2]
VIEWS = sorted((ROOT / "src/dinoseek/web/finder/views").glob("*.py"))


@pytest.fixture(autouse=True)
def _no_names_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine is called is not asked of any server."""
    monkeypatch.setattr("dinoseek.web.settings._addresses", lambda _: ["192.0.2.1"])
    monkeypatch.setattr("socket.getfqdn", lambda: "photos.lan")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accounts": True},
        {"token": "a token of many letters"},
        {"accounts": True, "public_url": "https://photos.example.org"},
        {"token": "a token of many letters", "host": "0.0.0.0"},
        {"token": "a token of many letters", "public_url": "http://photos.lan:8000"},
    ],
    ids=str,
)
def test_WEB_29_djangos_checks_for_deployed_sites_find_nothing(site, changes) -> None:
    from dinoseek.web.application import check

    site(**changes)
    check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", True),
        ("SECRET_KEY", "short"),
        ("ALLOWED_HOSTS", []),
        ("X_FRAME_OPTIONS", "SAMEORIGIN"),
        ("SECURE_CONTENT_TYPE_NOSNIFF", False),
        ("SECURE_REFERRER_POLICY", None),
    ],
)
def test_WEB_29_what_is_not_safe_keeps_it_from_starting(site, name: str, value: object) -> None:
    from django.test import override_settings

    from dinoseek.web.application import check

    site()
    with override_settings(**{name: value}), pytest.raises(MachineError, match="not safe"):
        check()


def test_behind_tls_only_what_the_proxy_does_is_silent(site) -> None:
    from django.conf import settings
    from django.test import override_settings

    from dinoseek.web.application import check

    site(accounts=True, public_url="https://photos.example.org")
    assert settings.SESSION_COOKIE_SECURE
    assert settings.CSRF_COOKIE_SECURE
    assert settings.SECURE_HSTS_SECONDS >= 31_536_000
    with override_settings(SECURE_HSTS_SECONDS=0), pytest.raises(MachineError):
        check()


def test_behind_tls_answers_say_so(site) -> None:
    here = site(token="a token of many letters", public_url="https://photos.example.org")
    response = here.client.get("/healthz", secure=True)
    assert "max-age=31536000" in response["Strict-Transport-Security"]


def test_WEB_29_no_setting_lets_any_name_in(django_ready: ServeConfig) -> None:
    from dinoseek.web.settings import site_names

    for changes in (
        {},
        {"host": "0.0.0.0", "token": "t" * 20},
        {"host": "::", "token": "t" * 20},
        {"names": ("*", "photos.lan", ".example.org*")},
        {"public_url": "https://photos.example.org", "token": "t" * 20},
    ):
        names = site_names(replace(django_ready, accounts=False, **changes))
        assert "*" not in "".join(names)
        assert "localhost" in names
    assert "photos.example.org" in names


def test_WEB_13_a_name_that_is_not_this_sites_is_refused(site) -> None:
    here = site(names=("photos.lan",))
    assert here.client.get("/", headers={"Host": "photos.lan"}).status_code == 200
    assert here.client.get("/", headers={"Host": "evil.com"}).status_code == 400
    forged = {"Host": "127.0.0.1", "X-Forwarded-Host": "evil.com"}
    assert b"evil.com" not in here.client.get("/", headers=forged).content


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "0.0.0.0"},
        {"host": "192.168.1.2"},
        {"host": "photos.lan"},
        {"public_url": "https://photos.example.org"},
        {"token": "short"},
        {"operators": ("alice",)},
        {"public_url": "photos.example.org", "token": "t" * 20},
        {"public_url": "https://a.example/path", "token": "t" * 20},
    ],
    ids=str,
)
def test_what_is_not_safe_or_makes_no_sense_is_refused(tmp_path, changes) -> None:
    with pytest.raises(UsageError) as caught:
        ServeConfig(gallery=tmp_path, state_dir=tmp_path, **changes)
    assert caught.value.fix


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_this_machine_alone_needs_no_token(tmp_path, host: str) -> None:
    assert not ServeConfig(gallery=tmp_path, state_dir=tmp_path, host=host).is_exposed


def test_tables_are_those_of_the_migrations(site) -> None:
    from django.core.management import call_command

    site()
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.mark.parametrize("path", VIEWS, ids=lambda path: path.stem)
def test_views_are_short(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno + 1 <= 25, node.name


def test_WEB_12_no_view_is_exempt_from_the_check_of_forms() -> None:
    for path in (ROOT / "src/dinoseek/web").rglob("*.py"):
        assert "csrf_exempt" not in path.read_text("utf-8"), path


def test_WEB_34_a_503_of_readiness_tells_strangers_nothing(site, gallery_path) -> None:
    here = site()
    for _ in range(20):  # until all threads have it open, which then need not open it again
        here.service.galleries.run(lambda gallery: gallery.check())
    (gallery_path / "gallery.sqlite").rename(gallery_path / "away")
    here.service.health._until = 0
    near = here.client.get("/readyz")
    far = here.client.get("/readyz", REMOTE_ADDR="203.0.113.9")
    assert (near.status_code, far.status_code) == (503, 503)
    assert near.json()["problems"]
    assert far.json() == {"ready": False}


def test_metrics_say_where_the_time_goes(site, picture) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    here = site()
    sent = here.post("/search", {"image": SimpleUploadedFile("a.jpg", picture)})
    page = here.client.get(sent["Location"])
    text = here.client.get("/metrics").content.decode()
    for stage in ("decode", "queue", "embed", "search", "render"):
        assert f'dinoseek_stage_seconds_count{{stage="{stage}"}}' in text
    assert "search;dur=" in page["Server-Timing"]
    assert "dinoseek_gallery_images 36.0" in text
