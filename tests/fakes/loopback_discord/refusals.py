"""What Discord says no with: its codes, and the tree in which it says what was wrong with a body."""

from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple


class Code(Enum):
    """Status, code and message, as Discord's documentation lists them."""

    UNAUTHORIZED = (401, 0, "401: Unauthorized")
    NOT_FOUND = (404, 0, "404: Not Found")
    UNKNOWN_CHANNEL = (404, 10003, "Unknown Channel")
    UNKNOWN_GUILD = (404, 10004, "Unknown Guild")
    UNKNOWN_MEMBER = (404, 10007, "Unknown Member")
    UNKNOWN_MESSAGE = (404, 10008, "Unknown Message")
    UNKNOWN_USER = (404, 10013, "Unknown User")
    UNKNOWN_WEBHOOK = (404, 10015, "Unknown Webhook")
    UNKNOWN_INTERACTION = (404, 10062, "Unknown interaction")
    UNKNOWN_COMMAND = (404, 10063, "Unknown application command")
    DAILY_COMMAND_CREATES = (400, 30034, "Max number of daily application command creates has been reached (200)")
    TOO_LARGE = (413, 40005, "Request entity too large")
    ALREADY_ACKNOWLEDGED = (400, 40060, "Interaction has already been acknowledged.")
    MISSING_ACCESS = (403, 50001, "Missing Access")
    NOT_YOUR_MESSAGE = (403, 50005, "Cannot edit a message authored by another user")
    EMPTY_MESSAGE = (400, 50006, "Cannot send an empty message")
    CANNOT_SEND_TO_USER = (403, 50007, "Cannot send messages to this user")
    MISSING_PERMISSIONS = (403, 50013, "Missing Permissions")
    INVALID_WEBHOOK_TOKEN = (401, 50027, "Invalid Webhook Token")
    INVALID_RECIPIENT = (400, 50033, "Invalid Recipient(s)")
    INVALID_FORM_BODY = (400, 50035, "Invalid Form Body")


class Wrong(NamedTuple):
    """One thing that is wrong with a body: where (keys and indices between slashes), and what."""

    path: str
    message: str
    code: str = "BASE_TYPE_INVALID"

    def __str__(self) -> str:
        return f"{self.path or 'body'}: {self.message}"


class Refusal(Exception):  # noqa: N818 it is an answer, not an error of the server
    """Discord's answer to what it will not do."""

    def __init__(self, code: Code, wrongs: Iterable[Wrong] = ()) -> None:
        self.code = code
        self.status, number, message = code.value
        self.wrongs = tuple(wrongs)
        self.body: dict[str, Any] = {"code": number, "message": message}
        if self.wrongs:
            self.body["errors"] = _tree(self.wrongs)
        super().__init__(f"{number} {message}")


def invalid(path: str, message: str, code: str = "BASE_TYPE_INVALID") -> Refusal:
    """Refuse a body for one thing that is wrong with it."""
    return Refusal(Code.INVALID_FORM_BODY, [Wrong(path, message, code)])


def _tree(wrongs: Iterable[Wrong]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for wrong in wrongs:
        node = root
        for key in filter(None, wrong.path.split("/")):
            node = node.setdefault(key, {})
        node.setdefault("_errors", []).append({"code": wrong.code, "message": wrong.message})
    return root
