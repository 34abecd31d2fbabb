"""Discord's official OpenAPI document: is a request as it says, is a reply of ours?"""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from tests.fakes.loopback_discord.refusals import Wrong

METHODS = ("get", "put", "post", "patch", "delete")
NUMBER = re.compile(r"0|[1-9][0-9]*")
FORMATS = {"snowflake": lambda value: bool(NUMBER.fullmatch(value)), "nonce": lambda value: len(value) <= 25}
DEEP = 12

Schema = dict[str, Any]


class Specification:
    """The document at a path. A validator is compiled when an operation is first seen."""

    def __init__(self, path: str | Path) -> None:
        document = json.loads(Path(path).read_text("utf-8"))
        self._replies: Schema = document["components"]
        # Discord reads integers where the document says that an id is a string, and libraries rely on it.
        self._requests: Schema = copy.deepcopy(self._replies)
        self._requests["schemas"]["SnowflakeType"] = {
            "type": ["string", "integer"],
            "pattern": f"^({NUMBER.pattern})$",
            "minimum": 0,
        }
        # It also reads texts for numbers; for permissions its own guide asks for them.
        for schema in self._requests["schemas"].values():
            if permissions := schema.get("properties", {}).get("default_member_permissions"):
                permissions["type"] = ["integer", "string", "null"]
        self._operations: dict[str, Schema] = {
            item[method]["operationId"]: item[method]
            for item in document["paths"].values()
            for method in METHODS
            if method in item
        }
        self._validator = cache(self._compile)

    def of_request(self, operation: str, body: Any, query: Mapping[str, str]) -> Iterator[Wrong]:
        """Say what is wrong with a request; None is no body."""
        known = self._operations[operation]
        yield from self._of_query(operation, query)
        wanted = known.get("requestBody")
        if wanted is None:
            if body:
                yield Wrong("", "this operation takes no body")
        elif body is not None:
            yield from self._wrongs((operation, "request", ""), body)
        elif wanted.get("required"):
            yield Wrong("", "this operation needs a body")

    def of_reply(self, operation: str, status: int, body: Any) -> Iterator[Wrong]:
        """Say what is wrong with a reply; None is no body."""
        schema = self._reply_schema(operation, status)
        if schema is None:
            yield Wrong("", f"status {status} is not documented")
        elif not schema:
            if body is not None:
                yield Wrong("", f"status {status} has no body")
        else:
            yield from self._wrongs((operation, "reply", str(status)), body)

    def of_model(self, name: str, value: Any) -> Iterator[Wrong]:
        """Say what is wrong with a value that should be as one of the document's schemas."""
        yield from self._wrongs((name, "model", ""), value)

    def _of_query(self, operation: str, query: Mapping[str, str]) -> Iterator[Wrong]:
        if not query:
            return
        parameters = self._operations[operation].get("parameters", ())
        known = {each["name"]: each["schema"] for each in parameters if each["in"] == "query"}
        for name, text in query.items():
            if name not in known:
                yield Wrong(name, "no such parameter in the query")
            else:
                for wrong in self._wrongs((operation, "query", name), _read(text, known[name].get("type"))):
                    yield Wrong(name, wrong.message)

    def _reply_schema(self, operation: str, status: int) -> Schema | None:
        replies = self._operations[operation]["responses"]
        found = replies.get(str(status)) or replies.get(f"{status // 100}XX")
        if found is None:
            return None
        if "$ref" in found:
            found = self._replies["responses"][found["$ref"].rpartition("/")[2]]
        return found.get("content", {}).get("application/json", {}).get("schema", {})

    def _schema(self, key: tuple[str, str, str]) -> Schema:
        operation, what, detail = key
        if what == "model":
            return {"$ref": f"#/components/schemas/{operation}"}
        if what == "request":
            return self._operations[operation]["requestBody"]["content"]["application/json"]["schema"]
        if what == "query":
            parameters = self._operations[operation]["parameters"]
            return next(each["schema"] for each in parameters if each["name"] == detail and each["in"] == "query")
        return self._reply_schema(operation, int(detail)) or {}

    def _compile(self, key: tuple[str, str, str]) -> Any:
        components = self._requests if key[1] in {"request", "query"} else self._replies
        schema = {"allOf": [self._schema(key)], "components": components}
        return jsonschema_rs.Draft202012Validator(schema, validate_formats=True, formats=FORMATS)

    def _wrongs(self, key: tuple[str, str, str], value: Any) -> Iterator[Wrong]:
        for error in self._validator(key).iter_errors(value):
            yield from _explained(error)


def _read(text: str, kind: str | None) -> Any:
    """Read a value of a query as the kind that it should be, if it can be read so."""
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    return int(text) if kind == "integer" and NUMBER.fullmatch(text) else text


def _explained(error: Any, depth: int = 0) -> Iterator[Wrong]:
    """Say which branch of a union came closest, and what it lacks; the union's own error names the value only."""
    branches = getattr(error.kind, "context", None)
    if not branches or depth > DEEP:
        yield Wrong("/".join(map(str, error.instance_path)), error.message[:200])
        return
    here = list(error.instance_path)

    def distance(branch: list[Any]) -> int:
        return sum(100 if _is_another_kind(each, here) else 1 for each in branch)

    for each in min(branches, key=distance):
        yield from _explained(each, depth + 1)


def _is_another_kind(error: Any, here: list[Any]) -> bool:
    """Whether the branch is about another type of value, or about another "type" of component or option."""
    path = list(error.instance_path)
    if error.kind.name == "type":
        return path == here
    return error.kind.name in {"enum", "constant"} and bool(path) and path[-1] == "type"
