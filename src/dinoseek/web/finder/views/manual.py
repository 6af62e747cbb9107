"""The API's page for people: made from its OpenAPI document, so it cannot say anything else."""

import json
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from dinoseek.web.finder.api import api
from dinoseek.web.finder.shown import Fact, Operation
from dinoseek.web.now import config

_VECTOR = '{"vector": [0.1, ...], "k": 5}'


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """What can be asked, with an example of each."""
    document = api.get_openapi_schema()
    base = request.build_absolute_uri("/").rstrip("/")
    context = {
        "operations": list(_operations(document, base)),
        "document": reverse("api-1:openapi-json"),
    }
    return render(request, "finder/api.html", context)


def _operations(document: dict[str, Any], base: str) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            yield Operation(
                method=method.upper(),
                path=path,
                summary=said.get("summary", ""),
                description=said.get("description", ""),
                parameters=(*_fields(document, said), *_parameters(said)),
                example=_example(method, base + path, said),
            )


def _parameters(said: dict[str, Any]) -> Iterator[Fact]:
    for parameter in said.get("parameters", ()):
        yield _fact(parameter["name"], parameter["schema"])


def _fields(document: dict[str, Any], said: dict[str, Any]) -> Iterator[Fact]:
    for kind, content in said.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        for name, about in schema["properties"].items():
            if kind == "multipart/form-data":
                about = {**about, "description": "the picture", "type": "file of a form"}
            yield _fact(name, about)


def _fact(name: str, schema: dict[str, Any]) -> Fact:
    """A parameter with what it means, its kind, its bounds, and what it is otherwise."""
    kinds = [schema.get("type")] + [each.get("type") for each in schema.get("anyOf", ())]
    words = [kind for kind in kinds if kind not in (None, "null")][:1]
    for bound in ("minimum", "maximum"):
        for each in (schema, *schema.get("anyOf", ())):
            if bound in each:
                words.append(f"{bound} {each[bound]:g}")
    if schema.get("default") not in (None, ""):
        words.append(f"by default {json.dumps(schema['default'])}")
    meaning = schema.get("description", "")
    return Fact(name=name, value=f"{meaning} ({', '.join(words)})" if meaning else ", ".join(words))


def _example(method: str, address: str, said: dict[str, Any]) -> str:
    address = address.replace("{id}", "7")
    words = ["curl"]
    if config().token is not None:
        words.append('-H "Authorization: Bearer $TOKEN"')
    kinds = said.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in kinds:
        words.append("-F image=@cat.jpg")
    elif kinds:
        words.append(f"-H 'Content-Type: application/json' -d '{_VECTOR}'")
    return " ".join([*words, address])
