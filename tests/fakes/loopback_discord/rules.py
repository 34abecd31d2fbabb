"""Discord's rules for what applications send, those which its OpenAPI document does not carry among them.

Each function yields what is wrong. Two rules are stricter than Discord, which silently does something else than it was
asked: it renames files with letters outside of `SAFE_FILE_NAME`, and it shows everybody a message in a channel that
was meant to be ephemeral.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tests.fakes.loopback_discord.refusals import Wrong

Body = Mapping[str, Any]

LOCALES = frozenset(
    re.findall(
        r"\S+",
        "id da de en-GB en-US es-ES es-419 fr hr it lt hu nl no pl pt-BR ro fi sv-SE vi tr cs el bg ru uk hi th zh-CN "
        "ja zh-TW ko",
    )
)
CHAT_NAME = re.compile(r"[-_'\w\u0900-\u097f\u0e00-\u0e7f]{1,32}")
SAFE_FILE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,260}")
LINK = re.compile(r"(https?|discord)://\S+")

CHAT, USER_MENU, MESSAGE_MENU = 1, 2, 3
SUBCOMMAND, GROUP, STRING, INTEGER, NUMBER = 1, 2, 3, 4, 10
TAKES_CHOICES = {STRING: str, INTEGER: int, NUMBER: (int, float)}

ROW, BUTTON, STRING_SELECT, TEXT_INPUT = 1, 2, 3, 4
ENTITY_SELECTS = frozenset({5, 6, 7, 8})
SELECTS = ENTITY_SELECTS | {STRING_SELECT}
SECTION, TEXT, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER = 9, 10, 11, 12, 13, 14, 17
LABEL, UPLOAD, RADIO, CHECKBOXES, CHECKBOX = 18, 19, 21, 22, 23
IN_CONTAINER = frozenset({ROW, SECTION, TEXT, GALLERY, FILE, SEPARATOR})
TOP_LEVEL_V2 = IN_CONTAINER | {CONTAINER}
IN_LABEL = SELECTS | {TEXT_INPUT, UPLOAD, RADIO, CHECKBOXES, CHECKBOX}
LINK_STYLE, PREMIUM_STYLE = 5, 6

EPHEMERAL, LOADING, COMPONENTS_V2 = 1 << 6, 1 << 7, 1 << 15
SUPPRESS_EMBEDS, SUPPRESS_NOTIFICATIONS = 1 << 2, 1 << 12
SETTABLE = SUPPRESS_EMBEDS | EPHEMERAL | SUPPRESS_NOTIFICATIONS | COMPONENTS_V2

MAX_COMMANDS = {CHAT: 100, USER_MENU: 15, MESSAGE_MENU: 15}
MAX_COMMAND_TEXT = 8000
MAX_CHOICES = 25
MAX_EMBED_TEXT = 6000
MAX_V2_COMPONENTS = 40
MAX_V2_TEXT = 4000
MAX_FILES = 10


def _length(value: Any, path: str, low: int, high: int) -> Iterator[Wrong]:
    """Check a text, or a list, that may be missing if it may be empty."""
    if value is None:
        if low:
            yield Wrong(path, "This field is required", "BASE_TYPE_REQUIRED")
    elif not low <= len(value) <= high:
        yield Wrong(path, f"Must be between {low} and {high} in length.", "BASE_TYPE_BAD_LENGTH")


def _range(value: float | None, path: str, low: float, high: float) -> Iterator[Wrong]:
    if value is not None and not low <= value <= high:
        yield Wrong(path, f"Must be between {low} and {high}.", "NUMBER_TYPE_RANGE")


def _twice(values: Iterable[Any], path: str, what: str) -> Iterator[Wrong]:
    for value, times in Counter(values).items():
        if times > 1:
            yield Wrong(path, f"{what} {value!r} is there {times} times", "DUPLICATED")


# -- commands


def of_commands(commands: Sequence[Body]) -> Iterator[Wrong]:
    """Check the list of all commands that an application has in one scope."""
    yield from _twice(((each.get("type") or CHAT, each["name"]) for each in commands), "", "the command")
    for kind, most in MAX_COMMANDS.items():
        if sum((each.get("type") or CHAT) == kind for each in commands) > most:
            yield Wrong("", f"at most {most} commands of type {kind}", "APPLICATION_COMMANDS_MAX")
    for index, each in enumerate(commands):
        yield from of_command(each, str(index))


def of_command(command: Body, path: str = "") -> Iterator[Wrong]:
    """Check one command."""
    if (command.get("type") or CHAT) == CHAT:
        yield from _chat_name(command, path)
        yield from _described(command, path)
        yield from _options(command.get("options") or (), f"{path}/options", 0)
    else:
        yield from _length(command.get("name"), f"{path}/name", 1, 32)
        if command.get("description") or command.get("options"):
            yield Wrong(path, "a context menu command has neither description nor options")
    if _text_of(command) > MAX_COMMAND_TEXT:
        yield Wrong(path, f"at most {MAX_COMMAND_TEXT} characters in all, longest localisations counted", "TOO_LARGE")


def _chat_name(named: Body, path: str) -> Iterator[Wrong]:
    names = {"name": named.get("name")}
    for locale, name in (named.get("name_localizations") or {}).items():
        if locale not in LOCALES:
            yield Wrong(f"{path}/name_localizations", f"no such locale: {locale}", "ENUM_TYPE_COERCE")
        names[f"name_localizations/{locale}"] = name
    for key, name in names.items():
        if not isinstance(name, str) or not CHAT_NAME.fullmatch(name) or name != name.lower():
            yield Wrong(f"{path}/{key}", f"Command name is invalid: {name!r}", "APPLICATION_COMMAND_INVALID_NAME")


def _described(described: Body, path: str) -> Iterator[Wrong]:
    yield from _length(described.get("description"), f"{path}/description", 1, 100)
    for locale, text in (described.get("description_localizations") or {}).items():
        if locale not in LOCALES:
            yield Wrong(f"{path}/description_localizations", f"no such locale: {locale}", "ENUM_TYPE_COERCE")
        yield from _length(text, f"{path}/description_localizations/{locale}", 1, 100)


def _options(options: Sequence[Body], path: str, depth: int) -> Iterator[Wrong]:
    yield from _length(options, path, 0, 25)
    yield from _twice((each["name"] for each in options), path, "the option")
    if any(each["type"] in {SUBCOMMAND, GROUP} for each in options) and any(each["type"] > GROUP for each in options):
        yield Wrong(path, "subcommands and options cannot be mixed")
    optional = False
    for index, each in enumerate(options):
        here = f"{path}/{index}"
        yield from _chat_name(each, here)
        yield from _described(each, here)
        if each["type"] == GROUP:
            if depth:
                yield Wrong(here, "a group belongs at the top of a command")
            if not each.get("options") or any(sub["type"] != SUBCOMMAND for sub in each["options"]):
                yield Wrong(here, "a group holds subcommands only, and at least one")
            yield from _options(each.get("options") or (), f"{here}/options", depth + 1)
        elif each["type"] == SUBCOMMAND:
            if any(sub["type"] in {SUBCOMMAND, GROUP} for sub in each.get("options") or ()):
                yield Wrong(here, "a subcommand holds options only")
            yield from _options(each.get("options") or (), f"{here}/options", depth + 1)
        else:
            if each.get("required") and optional:
                yield Wrong(
                    here, "Required options must be placed before non-required options", "OPTIONS_REQUIRED_INVALID"
                )
            optional = optional or not each.get("required")
            yield from _value_option(each, here)


def _value_option(option: Body, path: str) -> Iterator[Wrong]:
    kind = option["type"]
    choices = option.get("choices")
    if kind not in TAKES_CHOICES and (choices or option.get("autocomplete")):
        yield Wrong(path, "only texts and numbers have choices or autocomplete")
    if choices and option.get("autocomplete"):
        yield Wrong(path, "choices and autocomplete exclude each other")
    yield from of_choices(choices or (), f"{path}/choices", kind)
    low, high = option.get("min_length"), option.get("max_length")
    yield from _range(low, f"{path}/min_length", 0, 6000)
    yield from _range(high, f"{path}/max_length", 1, 6000)
    if kind != STRING and (low is not None or high is not None):
        yield Wrong(path, "only texts have a length")
    if kind not in {INTEGER, NUMBER} and (option.get("min_value") is not None or option.get("max_value") is not None):
        yield Wrong(path, "only numbers have a least and a greatest value")
    if low is not None and high is not None and low > high:
        yield Wrong(path, "min_length is greater than max_length")


def of_choices(choices: Sequence[Body], path: str = "data/choices", kind: int | None = None) -> Iterator[Wrong]:
    """Check the choices of an option, or what autocompletion suggests."""
    yield from _length(choices, path, 0, MAX_CHOICES)
    if kind is not None:
        yield from _twice((each["name"] for each in choices), path, "the choice")
    for index, each in enumerate(choices):
        here = f"{path}/{index}"
        yield from _length(each.get("name"), f"{here}/name", 1, 100)
        for locale, name in (each.get("name_localizations") or {}).items():
            if locale not in LOCALES:
                yield Wrong(f"{here}/name_localizations", f"no such locale: {locale}", "ENUM_TYPE_COERCE")
            yield from _length(name, f"{here}/name_localizations/{locale}", 1, 100)
        value = each.get("value")
        wanted = TAKES_CHOICES.get(kind or 0, (str, int, float))
        if not isinstance(value, wanted) or isinstance(value, bool):
            yield Wrong(f"{here}/value", "not a value of the option's type")
        elif isinstance(value, str):
            yield from _length(value, f"{here}/value", 1, 100)


def _text_of(node: Body) -> int:
    """Characters of a command or an option: names, descriptions, values, each in its longest language."""
    total = sum(
        max(map(len, [node.get(key) or "", *(node.get(f"{key}_localizations") or {}).values()]))
        for key in ("name", "description")
    )
    total += len(str(node.get("value", "")))
    return total + sum(map(_text_of, [*(node.get("options") or ()), *(node.get("choices") or ())]))


# -- messages


def of_message(
    body: Body,
    uploads: Sequence[str] = (),
    *,
    kept: Collection[str] = (),
    was_v2: bool = False,
    may_be_ephemeral: bool = False,
) -> Iterator[Wrong]:
    """Check a message that is sent or edited.

    Args:
        body: what was sent.
        uploads: the names of the files that came with it.
        kept: the names of the files that the message has already.
        was_v2: the message consists of components already, which cannot be undone.
        may_be_ephemeral: it answers an interaction.
    """
    flags = body.get("flags") or 0
    v2 = was_v2 or bool(flags & COMPONENTS_V2)
    if flags & ~SETTABLE:
        yield Wrong("flags", "these flags cannot be set")
    if flags & EPHEMERAL and not may_be_ephemeral:
        yield Wrong("flags", "only a reply to an interaction can be ephemeral; this would be shown to everybody")
    yield from _length(body.get("content"), "content", 0, 2000)
    yield from _embeds(body.get("embeds") or ())
    yield from _files(body.get("attachments") or (), uploads)
    if v2:
        for key in ("content", "embeds", "poll", "sticker_ids"):
            if body.get(key):
                message = f"The '{key}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
                yield Wrong(key, message, "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2")
    components = body.get("components") or ()
    yield from _components(components, v2=v2)
    names = {*uploads, *kept}
    for path, url in _links(body.get("embeds") or (), components):
        scheme, _, name = url.partition("://")
        if scheme == "attachment" and name not in names:
            yield Wrong(
                path, f"no such file was uploaded: {name}", "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND"
            )
        elif scheme != "attachment" and not LINK.fullmatch(url):
            yield Wrong(path, f"Not a well formed URL: {url!r}", "URL_TYPE_INVALID_URL")


def _embeds(embeds: Sequence[Body]) -> Iterator[Wrong]:
    yield from _length(embeds, "embeds", 0, 10)
    total = 0
    for index, each in enumerate(embeds):
        here = f"embeds/{index}"
        parts = [
            (each.get("title"), "title", 256),
            (each.get("description"), "description", 4096),
            ((each.get("footer") or {}).get("text"), "footer/text", 2048),
            ((each.get("author") or {}).get("name"), "author/name", 256),
        ]
        for text, where, most in parts:
            yield from _length(text, f"{here}/{where}", 0, most)
            total += len(text or "")
        fields = each.get("fields") or ()
        yield from _length(fields, f"{here}/fields", 0, 25)
        for number, field in enumerate(fields):
            for key, most in (("name", 256), ("value", 1024)):
                yield from _length(field.get(key), f"{here}/fields/{number}/{key}", 1, most)
                total += len(field.get(key) or "")
    if total > MAX_EMBED_TEXT:
        yield Wrong("embeds", f"Embed size exceeds maximum size of {MAX_EMBED_TEXT}", "MAX_EMBED_SIZE_EXCEEDED")


def _files(attachments: Sequence[Body], uploads: Sequence[str]) -> Iterator[Wrong]:
    if len(uploads) > MAX_FILES:
        yield Wrong("attachments", f"at most {MAX_FILES} files", "BASE_TYPE_BAD_LENGTH")
    yield from _length(attachments, "attachments", 0, MAX_FILES)
    for index, each in enumerate(attachments):
        yield from _length(each.get("description"), f"attachments/{index}/description", 0, 1024)
    for index, name in enumerate(uploads):
        if not SAFE_FILE_NAME.fullmatch(name):
            yield Wrong(
                f"attachments/{index}/filename", f"letters, digits and _ . - only: {name!r}", "FILENAME_INVALID"
            )


def walk(components: Iterable[Body], path: str = "components") -> Iterator[tuple[str, Body]]:
    """Every component with its path, parents first, in the order in which they are shown."""
    for index, each in enumerate(components):
        here = f"{path}/{index}"
        yield here, each
        yield from walk(each.get("components") or (), f"{here}/components")
        for key in ("accessory", "component"):
            if each.get(key):
                yield f"{here}/{key}", each[key]


def _links(embeds: Sequence[Body], components: Sequence[Body]) -> Iterator[tuple[str, str]]:
    for index, each in enumerate(embeds):
        for key in ("image", "thumbnail"):
            if (each.get(key) or {}).get("url"):
                yield f"embeds/{index}/{key}/url", each[key]["url"]
        for key in ("author", "footer"):
            if (each.get(key) or {}).get("icon_url"):
                yield f"embeds/{index}/{key}/icon_url", each[key]["icon_url"]
        if each.get("url"):
            yield f"embeds/{index}/url", each["url"]
    for path, each in walk(components):
        if each["type"] == GALLERY:
            yield from (
                (f"{path}/items/{index}/media/url", item["media"]["url"]) for index, item in enumerate(each["items"])
            )
        elif each["type"] == THUMBNAIL:
            yield f"{path}/media/url", each["media"]["url"]
        elif each["type"] == FILE:
            yield f"{path}/file/url", each["file"]["url"]
        elif each["type"] == BUTTON and each.get("url"):
            yield f"{path}/url", each["url"]


def _components(components: Sequence[Body], *, v2: bool) -> Iterator[Wrong]:
    everything = list(walk(components))
    if v2:
        if len(everything) > MAX_V2_COMPONENTS:
            yield Wrong("components", f"at most {MAX_V2_COMPONENTS} components, nested ones counted", "TOO_MANY")
        if sum(len(each["content"]) for _, each in everything if each["type"] == TEXT) > MAX_V2_TEXT:
            yield Wrong("components", f"at most {MAX_V2_TEXT} characters in all text displays", "TOO_LARGE")
    elif len(components) > 5:
        yield Wrong("components", "Must be between 1 and 5 in length.", "BASE_TYPE_BAD_LENGTH")
    for index, each in enumerate(components):
        if each["type"] not in (TOP_LEVEL_V2 if v2 else {ROW}):
            yield Wrong(f"components/{index}/type", f"a component of type {each['type']} cannot stand here")
    yield from _identified(everything)
    for path, each in everything:
        yield from _component(each, path)


def _identified(everything: Sequence[tuple[str, Body]]) -> Iterator[Wrong]:
    """Check the two names that a component has: one for the application, one for the message."""
    for path, each in everything:
        if each["type"] in IN_LABEL or (each["type"] == BUTTON and each.get("custom_id") is not None):
            yield from _length(each.get("custom_id"), f"{path}/custom_id", 1, 100)
    names = (each["custom_id"] for _, each in everything if each.get("custom_id") is not None)
    yield from _twice(names, "components", "Component custom id cannot be duplicated:")
    yield from _twice((each["id"] for _, each in everything if each.get("id")), "components", "the component id")


def _component(one: Body, path: str) -> Iterator[Wrong]:
    kind = one["type"]
    inner = one.get("components") or ()
    if kind == ROW:
        yield from _length(inner, f"{path}/components", 1, 5)
        kinds = [each["type"] for each in inner]
        if any(each in SELECTS for each in kinds) and len(kinds) > 1:
            yield Wrong(f"{path}/components", "a select menu fills its row", "COMPONENT_LAYOUT_WIDTH_EXCEEDED")
        if any(each not in SELECTS | {BUTTON} for each in kinds):
            yield Wrong(f"{path}/components", "a row holds buttons or one select menu")
    elif kind == BUTTON:
        yield from _button(one, path)
    elif kind in SELECTS:
        yield from _select(one, path)
    elif kind == SECTION:
        yield from _length(inner, f"{path}/components", 1, 3)
        if any(each["type"] != TEXT for each in inner):
            yield Wrong(f"{path}/components", "a section holds text displays")
        if (one.get("accessory") or {}).get("type") not in {BUTTON, THUMBNAIL}:
            yield Wrong(f"{path}/accessory", "a section has a button or a thumbnail beside it", "BASE_TYPE_REQUIRED")
    elif kind == CONTAINER:
        yield from _length(inner, f"{path}/components", 1, MAX_V2_COMPONENTS)
        if any(each["type"] not in IN_CONTAINER for each in inner):
            yield Wrong(f"{path}/components", "this cannot stand in a container")
    elif kind == TEXT:
        yield from _length(one.get("content"), f"{path}/content", 1, MAX_V2_TEXT)
    elif kind == GALLERY:
        yield from _length(one.get("items"), f"{path}/items", 1, 10)
        for index, each in enumerate(one["items"]):
            yield from _length(each.get("description"), f"{path}/items/{index}/description", 0, 1024)
    elif kind == FILE and not one["file"]["url"].startswith("attachment://"):
        yield Wrong(
            f"{path}/file/url", "a file component shows an uploaded file", "UNFURLED_MEDIA_ITEM_ATTACHMENT_ONLY"
        )
    elif kind not in {SEPARATOR, THUMBNAIL, FILE}:
        yield Wrong(f"{path}/type", f"a message has no component of type {kind}")


def _button(button: Body, path: str) -> Iterator[Wrong]:
    yield from _length(button.get("label"), f"{path}/label", 0, 80)
    wanted = {LINK_STYLE: "url", PREMIUM_STYLE: "sku_id"}.get(button["style"], "custom_id")
    yield from _range(button["style"], f"{path}/style", 1, 6)
    for key in ("custom_id", "url", "sku_id"):
        if (button.get(key) is not None) != (key == wanted):
            yield Wrong(
                path, f"a button of style {button['style']} has a {wanted}, and nothing instead", "BUTTON_TARGET"
            )
            break
    yield from _length(button.get("url"), f"{path}/url", 0, 512)
    if wanted != "sku_id" and not button.get("label") and not button.get("emoji"):
        yield Wrong(path, "a button shows a label or an emoji", "BUTTON_COMPONENT_EMPTY")


def _select(select: Body, path: str) -> Iterator[Wrong]:
    yield from _length(select.get("placeholder"), f"{path}/placeholder", 0, 150)
    least, most = _or(select.get("min_values"), 1), _or(select.get("max_values"), 1)
    yield from _range(least, f"{path}/min_values", 0, 25)
    yield from _range(most, f"{path}/max_values", 1, 25)
    if least > most:
        yield Wrong(f"{path}/min_values", "more than max_values")
    if select["type"] != STRING_SELECT:
        if select.get("options"):
            yield Wrong(f"{path}/options", "only a string select has options")
        return
    options = select.get("options") or ()
    yield from _named_options(options, f"{path}/options", 1, 25)
    if most > len(options):
        yield Wrong(f"{path}/max_values", "more than there are options")
    if sum(bool(each.get("default")) for each in options) > most:
        yield Wrong(f"{path}/options", "more defaults than may be chosen")


def _named_options(options: Sequence[Body], path: str, low: int, high: int) -> Iterator[Wrong]:
    yield from _length(options, path, low, high)
    yield from _twice((each["value"] for each in options), path, "The specified option value is already used:")
    for index, each in enumerate(options):
        for key, least in (("label", 1), ("value", 1), ("description", 0)):
            yield from _length(each.get(key), f"{path}/{index}/{key}", least, 100)


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


# -- modals


def of_modal(data: Body) -> Iterator[Wrong]:
    """Check the form that answers an interaction."""
    yield from _length(data.get("custom_id"), "data/custom_id", 1, 100)
    yield from _length(data.get("title"), "data/title", 1, 45)
    components = data.get("components")
    yield from _length(components, "data/components", 1, 5)
    everything = list(walk(components or (), "data/components"))
    yield from _identified(everything)
    for index, each in enumerate(components or ()):
        here = f"data/components/{index}"
        if each["type"] == ROW:
            inner = each.get("components") or ()
            if [one["type"] for one in inner] != [TEXT_INPUT]:
                yield Wrong(f"{here}/components", "a row of a modal holds one text input")
            for one in inner:
                yield from _length(one.get("label"), f"{here}/components/0/label", 1, 45)
                yield from _text_input(one, f"{here}/components/0")
        elif each["type"] == LABEL:
            yield from _length(each.get("label"), f"{here}/label", 1, 45)
            yield from _length(each.get("description"), f"{here}/description", 0, 100)
            yield from _field(each.get("component") or {"type": None}, f"{here}/component")
        elif each["type"] == TEXT:
            yield from _length(each.get("content"), f"{here}/content", 1, MAX_V2_TEXT)
        else:
            yield Wrong(f"{here}/type", f"a modal has no component of type {each['type']} here")


def _field(field: Body, path: str) -> Iterator[Wrong]:
    kind = field["type"]
    if kind not in IN_LABEL:
        yield Wrong(f"{path}/type", f"a label has no component of type {kind} under it")
    elif kind == TEXT_INPUT:
        if field.get("label"):
            yield Wrong(f"{path}/label", "a text input under a label has no label of its own")
        yield from _text_input(field, path)
    elif kind in SELECTS:
        yield from _select(field, path)
        if field.get("disabled"):
            yield Wrong(f"{path}/disabled", "a select menu in a modal cannot be disabled")
    elif kind == RADIO:
        yield from _named_options(field.get("options") or (), f"{path}/options", 2, 10)
    elif kind == CHECKBOXES:
        yield from _named_options(field.get("options") or (), f"{path}/options", 1, 10)
    elif kind == UPLOAD:
        yield from _range(field.get("min_values"), f"{path}/min_values", 0, 10)
        yield from _range(field.get("max_values"), f"{path}/max_values", 1, 10)


def _text_input(field: Body, path: str) -> Iterator[Wrong]:
    if field.get("style") not in {1, 2}:
        yield Wrong(f"{path}/style", "short is 1, paragraph is 2", "ENUM_TYPE_COERCE")
    least, most = _or(field.get("min_length"), 0), _or(field.get("max_length"), 4000)
    yield from _range(least, f"{path}/min_length", 0, 4000)
    yield from _range(most, f"{path}/max_length", 1, 4000)
    if least > most:
        yield Wrong(f"{path}/min_length", "greater than max_length")
    yield from _length(field.get("value"), f"{path}/value", 0, min(most, 4000))
    yield from _length(field.get("placeholder"), f"{path}/placeholder", 0, 100)
