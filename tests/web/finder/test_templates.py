"""Templates: nothing that the policy of the pages forbids, and each word in Chinese, too."""

import gettext
import re
from pathlib import Path

import pytest
from babel.messages.extract import extract

FINDER = Path(__file__).parents[3] / "src/dinoseek/web/finder"
TEMPLATES = sorted((FINDER / "templates/finder").glob("*.html"))
SCRIPTS = sorted((FINDER / "static/finder").glob("*.js"))
WORDS = FINDER / "locale/zh_Hans/LC_MESSAGES"

each_template = pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)


def said(text: str) -> set[str]:
    """The texts of a template as they are looked up."""
    short = re.findall(r"""{% translate (?:"([^"]*)"|'([^']*)') %}""", text)
    found = {(one or other).replace("%", "%%") for one, other in short}
    for block in re.findall(r"{% blocktranslate.*?%}(.*?){% endblocktranslate %}", text, re.DOTALL):
        singular = re.split(r"{% plural %}", block)[0]
        found.add(re.sub(r"{{ (\w+) }}", r"%(\1)s", " ".join(singular.split())))
    return found


@each_template
def test_WEB_08_templates_have_nothing_inline(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|hx-on|javascript:|[\"']data:|\|safe", text)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))
    assert not re.search(r"{% autoescape off|mark_safe", text)


@each_template
def test_WEB_12_each_form_that_posts_has_the_token(path: Path) -> None:
    text = path.read_text("utf-8")
    posts = re.findall(r"<form[^>]*method=\"post\".*?</form>", text, re.DOTALL)
    for form in posts:
        assert "{% csrf_token %}" in form or "finder/_gate.html" in form


@each_template
def test_links_to_other_sites_tell_them_nothing(path: Path) -> None:
    for tag in re.findall(r"<a [^>]*target=\"_blank\"[^>]*>", path.read_text("utf-8")):
        assert 'rel="noopener noreferrer nofollow"' in tag


@each_template
def test_each_word_is_said_in_chinese(path: Path) -> None:
    with (WORDS / "django.mo").open("rb") as file:
        chinese = gettext.GNUTranslations(file)._catalog
    known = {key[0] if isinstance(key, tuple) else key for key in chinese}
    assert said(path.read_text("utf-8")) - known == set()


def test_each_word_of_the_code_is_said_in_chinese() -> None:
    with (WORDS / "django.mo").open("rb") as file:
        chinese = gettext.GNUTranslations(file)._catalog
    known = {key[0] if isinstance(key, tuple) else key for key in chinese}
    spoken = set()
    for path in sorted(FINDER.parent.rglob("*.py")):
        with path.open("rb") as file:
            for _, words, *_ in extract("python", file, keywords={"_": None, "ngettext": (1, 2)}):
                spoken.update(words[:1] if isinstance(words, tuple) else [words])
    assert len(spoken) > 50
    assert spoken - known == set()


def test_compiled_words_are_those_of_the_source() -> None:
    with (WORDS / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)._catalog
    source = (WORDS / "django.po").read_text("utf-8")
    written = re.findall(r'^msgstr(?:\[0\])? "(.+)"$', source, re.MULTILINE)
    unescaped = [text.replace('\\"', '"').replace("\\n", "\n") for text in written]
    assert sorted(unescaped) == sorted(text for key, text in compiled.items() if key)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_make_nothing_from_text(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"\beval\b|new Function|innerHTML|outerHTML|document\.write", text)


def test_icons_that_are_used_are_drawn() -> None:
    drawn = set(re.findall(r'<symbol id="(\w+)"', (FINDER / "static/finder/icons.svg").read_text()))
    used = {
        name for path in TEMPLATES for name in re.findall(r'{% icon "(\w+)" %}', path.read_text())
    }
    assert used <= drawn
    assert drawn <= used | {"dino"}
