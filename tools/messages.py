"""Brings the page's translations up to date: run by `make messages`; needs Debian's gettext."""

import os
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command

WEB = Path(__file__).parents[1] / "src" / "dinoseek" / "web"
LOCALE = WEB / "finder" / "locale"

if __name__ == "__main__":
    settings.configure(USE_I18N=True, LOCALE_PATHS=[LOCALE])
    django.setup()
    os.chdir(WEB)
    options = {"add_location": "file", "no_wrap": True, "extensions": ["html", "py"]}
    call_command("makemessages", locale=["zh_Hans"], **options)
    call_command("compilemessages", locale=["zh_Hans"], verbosity=0)
