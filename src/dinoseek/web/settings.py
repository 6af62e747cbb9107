"""Django's settings, made from how the server was started: there are no others, and no DEBUG."""

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.utils.translation import gettext_lazy

from dinoseek.web.config import ServeConfig
from dinoseek.web.secret import secret_key

if TYPE_CHECKING:
    from dinoseek.web.live.service import Service

DATABASE = "web.sqlite"
_YEAR = 31_536_000  # seconds

_MIDDLEWARE = (
    "dinoseek.web.middleware.record.record",
    "dinoseek.web.middleware.headers.headers",
    "django.middleware.locale.LocaleMiddleware",  # refusals are in the reader's language, too
    "dinoseek.web.middleware.guard.guard",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "dinoseek.web.middleware.rates.rates",
    "dinoseek.web.middleware.gate.gate",
    "dinoseek.web.middleware.admission.admission",
    "dinoseek.web.middleware.faults.faults",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
)
_ACCOUNTS_APPS = (
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
)
_ACCOUNTS_MIDDLEWARE = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "dinoseek.web.middleware.members.members",
)
_VALIDATORS = (
    "UserAttributeSimilarityValidator",
    "MinimumLengthValidator",
    "CommonPasswordValidator",
    "NumericPasswordValidator",
)
# Without TLS in front these would lock everybody out; `check --deploy` names them all the same.
_ONLY_WITH_TLS = tuple(f"security.W{number:03}" for number in (4, 8, 10, 11, 12, 16))
# The guard answers what TLS asks of a redirect: a proxy ends TLS and redirects plain HTTP itself.
_BY_THE_PROXY = ("security.W008", "security.W021")


def configure(config: ServeConfig, service: "Service | None") -> None:
    """Sets Django up, once in a process."""
    settings.configure(**settings_of(config), SERVE_SERVICE=service)
    django.setup()


def settings_of(config: ServeConfig) -> dict[str, Any]:
    """All settings that are not Django's defaults."""
    return {
        "SERVE_CONFIG": config,
        "DEBUG": False,
        "SECRET_KEY": secret_key(config.state_dir),
        "ROOT_URLCONF": "dinoseek.web.urls",
        "USE_TZ": True,
        "LOGGING_CONFIG": None,
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "SILENCED_SYSTEM_CHECKS": _BY_THE_PROXY if config.is_https else _ONLY_WITH_TLS,
        **_apps(config),
        **_storage(config),
        **_languages(),
        **_uploads(config),
        **_safety(config),
    }


def _apps(config: ServeConfig) -> dict[str, Any]:
    more = _ACCOUNTS_APPS if config.accounts else ()
    middleware = list(_MIDDLEWARE)
    if config.accounts:
        place = middleware.index("django.middleware.common.CommonMiddleware")
        middleware[place:place] = _ACCOUNTS_MIDDLEWARE
    return {
        "INSTALLED_APPS": [
            *more,
            "django.contrib.staticfiles",
            "django_htmx",
            "dinoseek.web.finder.apps.FinderConfig",
        ],
        "MIDDLEWARE": middleware,
        "TEMPLATES": [_templates(config)],
        "AUTH_PASSWORD_VALIDATORS": [
            {"NAME": f"django.contrib.auth.password_validation.{name}"} for name in _VALIDATORS
        ],
        "LOGIN_URL": "login",
        "LOGIN_REDIRECT_URL": "home",
        "LOGOUT_REDIRECT_URL": "home",
    }


def _templates(config: ServeConfig) -> dict[str, Any]:
    processors = [
        "django.template.context_processors.request",
        "dinoseek.web.finder.context.around",
    ]
    if config.accounts:
        processors.append("django.contrib.auth.context_processors.auth")
    return {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": processors},
    }


def _storage(config: ServeConfig) -> dict[str, Any]:
    return {
        "DATABASES": {
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": config.state_dir / DATABASE,
                "CONN_MAX_AGE": None,
                "OPTIONS": {
                    "transaction_mode": "IMMEDIATE",
                    "timeout": 10,
                    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                    " PRAGMA secure_delete=ON; PRAGMA foreign_keys=ON",
                },
            }
        },
        "STATIC_URL": "static/",
        "STATIC_ROOT": config.state_dir / "static",
        "STORAGES": {
            "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
            "staticfiles": {
                "BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
            },
        },
        "WHITENOISE_MAX_AGE": 3600,
        "WHITENOISE_ALLOW_ALL_ORIGINS": False,
    }


def _languages() -> dict[str, Any]:
    return {
        "USE_I18N": True,
        "LANGUAGE_CODE": "en",
        "LANGUAGES": [("en", gettext_lazy("English")), ("zh-hans", gettext_lazy("Chinese"))],
        "LANGUAGE_COOKIE_HTTPONLY": True,
        "LANGUAGE_COOKIE_SAMESITE": "Lax",
        "LANGUAGE_COOKIE_AGE": _YEAR,
    }


def _uploads(config: ServeConfig) -> dict[str, Any]:
    return {
        "FILE_UPLOAD_HANDLERS": ["dinoseek.web.uploads.OnePicture"],
        "FILE_UPLOAD_MAX_MEMORY_SIZE": config.max_body,
        "DATA_UPLOAD_MAX_MEMORY_SIZE": 65_536,
        "DATA_UPLOAD_MAX_NUMBER_FIELDS": 100,
        "DATA_UPLOAD_MAX_NUMBER_FILES": 1,
    }


def _safety(config: ServeConfig) -> dict[str, Any]:
    hosts = site_names(config)
    found = {
        "X_FRAME_OPTIONS": "DENY",
        "SECURE_REFERRER_POLICY": "same-origin",
        "SECURE_CROSS_ORIGIN_OPENER_POLICY": "same-origin",
        "CSRF_COOKIE_HTTPONLY": True,
        "CSRF_COOKIE_SAMESITE": "Lax",
        "CSRF_FAILURE_VIEW": "dinoseek.web.finder.views.errors.csrf_failure",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_EXPIRE_AT_BROWSER_CLOSE": False,
    }
    if config.public_url:
        found["CSRF_TRUSTED_ORIGINS"] = [config.public_url.rstrip("/")]
    if config.is_https:
        found |= {
            "SECURE_HSTS_SECONDS": _YEAR,
            "SECURE_HSTS_INCLUDE_SUBDOMAINS": True,
            "SESSION_COOKIE_SECURE": True,
            "CSRF_COOKIE_SECURE": True,
            "LANGUAGE_COOKIE_SECURE": True,
        }
    return found | {"ALLOWED_HOSTS": hosts}


def site_names(config: ServeConfig) -> list[str]:
    """The names by which requests may call this site: never all."""
    names = ["127.0.0.1", "localhost", "[::1]", *config.names]
    if config.host in ("0.0.0.0", "::"):
        machine = socket.gethostname()
        names += [machine, socket.getfqdn(), *_addresses(machine)]
    else:
        names.append(f"[{config.host}]" if ":" in config.host else config.host)
    if config.public_url:
        names.append(urlsplit(config.public_url).hostname or "")
    return sorted({name.lower() for name in names if name and "*" not in name})


def _addresses(machine: str) -> list[str]:
    try:
        found = socket.getaddrinfo(machine, None)
    except OSError:
        return []
    addresses = {str(each[4][0]).partition("%")[0] for each in found}
    return [f"[{each}]" if ":" in each else each for each in addresses]
