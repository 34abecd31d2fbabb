"""The demo as its users meet it: a real homeserver, the real bots in their own process, people with plain clients.

Nothing here looks into the bots: what is true is what people can read, what lies on the wire, and what lies on disk.
"""

import asyncio
import json
import os
import random
import re
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest
import pytest_asyncio
from icalendar import Calendar

from bots.homeserver import Homeserver
from tests.fakes.person import Person, Said, register

pytestmark = [pytest.mark.synapse, pytest.mark.asyncio(loop_scope="module")]

CAST = ("member", "member2", "member3", "mentor", "mentor2", "coordinator")
NETWORKS = ("uj", "sanctions", "climate")
SIGNS = {*(f"{number}\ufe0f\u20e3" for number in range(1, 10)), "🔟", "📬"}
BOOKING = re.compile(r"\bB-[0-9A-Z]{5,}\b")


# -- the play -----------------------------------------------------------------------------------------------------


class Demo:
    """`impacthub demo` as a process, over one state folder."""

    def __init__(self, state: Path, port: int) -> None:
        self.state = state
        self.port = port
        self.told: dict[str, Any] = {}
        self.env: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **env: str) -> None:
        """Start it and read the line in which it says where everything is."""
        program = Path(sys.executable).with_name("impacthub")
        command = [program, "demo", "--json", "--no-chat", "--state", self.state, "--port", str(self.port)]
        bare = {name: value for name, value in os.environ.items() if not name.startswith("IMPACTHUB_")}
        with (self.state.parent / "demo.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, cwd=self.state.parent, env={**bare, **self.env, **env}
            )
        line = self._line(within=120)
        assert line, (self.state.parent / "demo.log").read_text()[-3000:]
        self.told = json.loads(line)

    def _line(self, within: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], within)
        return self._process.stdout.readline() if ready else b""

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def processes(self) -> list[psutil.Process]:
        """The demo itself and everything that it has started."""
        assert self._process is not None
        own = psutil.Process(self._process.pid)
        return [own, *own.children(recursive=True)]

    def bots(self, within: float = 30) -> psutil.Process:
        """The process of the three bots; waits for one that is just being started again."""
        return self._child(lambda command: "bots" in command and "run" in command, within)

    def synapse(self) -> psutil.Process:
        return self._child(lambda command: any("homeserver.json" in word for word in command), 1)

    def _child(self, fits: Callable[[list[str]], bool], within: float) -> psutil.Process:
        until = time.monotonic() + within
        while time.monotonic() < until:
            for each in self.processes()[1:]:
                try:
                    if each.status() != psutil.STATUS_ZOMBIE and fits(each.cmdline()):
                        return each
                except psutil.Error:
                    continue
            time.sleep(0.05)
        raise AssertionError("the process is not there")

    def stop(self) -> tuple[int, bytes]:
        """End it as an operator would; return its exit status and what else it had said."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        rest, _ = self._process.communicate(timeout=60)
        return self._process.returncode, rest

    def close(self) -> None:
        if self.runs and self._process is not None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                for each in self.processes()[::-1]:
                    each.kill()
                self._process.wait()

    @property
    def log(self) -> str:
        """What the bots have logged."""
        return (self.state / "bots.log").read_text()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the Hub's database, from outside."""
        connection = sqlite3.connect(f"file:{self.state}/hub.db?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    @contextmanager
    def bots_alone(self, **env: str) -> Iterator[None]:
        """Run the bots of a stopped demo, without its homeserver."""
        program = Path(sys.executable).with_name("impacthub")
        secrets = {"IMPACTHUB_SECRETS_FILE": str(self.state / "secrets.toml")}
        with (self.state / "bots.log").open("ab") as log:
            process = subprocess.Popen(
                [program, "run", "--settings", self.state / "settings.toml"],
                stdout=log,
                stderr=log,
                cwd=self.state.parent,
                env={**os.environ, **secrets, **env},
            )
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(30) == 0

    def homeserver(self) -> Homeserver:
        """The same homeserver over the same folder, for tests that take it from the demo."""
        return Homeserver(self.state / "homeserver")


@contextmanager
def demo_in_a_new_folder(**env: str) -> Iterator[Demo]:
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="demo-", dir=base) as folder:
        demo = Demo(Path(folder) / "state", free_port())
        demo.env = env
        try:
            demo.start()
            yield demo
        finally:
            demo.close()


async def ended(process: psutil.Process) -> None:
    """Wait for the end of a process; its parent may leave it unburied."""
    with suppress(psutil.NoSuchProcess):  # it may end between two looks at it
        async with asyncio.timeout(15):
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Scene:
    """A running demo and the people who are signed in."""

    demo: Demo
    people: dict[str, Person]
    handles: dict[str, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Person:
        if name in self.people:
            return self.people[name]
        raise AttributeError(name)

    @property
    def bot(self) -> str:
        """The bot of the network where most of the play is set."""
        return str(self.demo.told["bots"]["uj"])

    @property
    def room(self) -> str:
        return str(self.demo.told["rooms"]["uj"])

    async def dm(self, person: Person) -> str:
        """The person's room with the bot; a first word in the network's room makes the bot open one."""
        if person.dm(self.bot) is None:
            await person.say(self.room, "!me")
            await person.until(lambda: person.dm(self.bot), "the bot's invitation")
            await person.until(lambda: person.heard(self.bot, person.dm(self.bot)), "the first answer in private")
        return str(person.dm(self.bot))

    async def handle(self, person: Person) -> str:
        if person.name not in self.handles:
            text, _ = await self.ask(person, "me")
            found = re.search(r": ([a-z]+-[a-z]+)$", text.body, re.MULTILINE)
            assert found is not None, text.body
            self.handles[person.name] = found[1]
        return self.handles[person.name]

    async def ask(self, person: Person, line: str, *, files: int = 0) -> tuple[Said, list[Said]]:
        """Say a line in private and wait for the answer: its text and so many files."""
        room = await self.dm(person)
        seen = len(person.heard(self.bot, room))
        await person.say(room, line)

        def answered() -> list[Said] | None:
            fresh = person.heard(self.bot, room)[seen:]
            texts = [each for each in fresh if each.is_text]
            return fresh if texts and len(fresh) - len(texts) >= files else None

        fresh = await person.until(answered, f"the answer to “{line}”") or []
        texts = [each for each in fresh if each.is_text]
        assert len(texts) == 1, [each.body for each in texts]
        return texts[0], [each for each in fresh if not each.is_text]

    async def in_the_room(self, person: Person, line: str) -> Said:
        """Say a line in the network's room and wait for the answer to it there."""
        event = await person.say(self.room, line)

        def answer() -> Said | None:
            return next((each for each in person.heard(self.bot, self.room) if each.answers == event), None)

        found = await person.until(answer, f"the answer to “{line}” in the room")
        assert found is not None
        return found

    async def slots(self, person: Person, mentor: Person, *, days: tuple[int, int] = (3, 13)) -> list[str]:
        """The codes of open slots of a mentor, some days ahead."""
        today = datetime.now(UTC).date()
        first, last = (today + timedelta(days=each) for each in days)
        text, _ = await self.ask(person, f"hours open mentor={await self.handle(mentor)} when={first}..{last}")
        return [line.rpartition("slot=")[2] for line in text.lines]


@asynccontextmanager
async def scene_of(demo: Demo, *names: str) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        people = {}
        for name in names:
            account = demo.told["accounts"][name]
            folder = demo.state.parent / f"{name}-{time.monotonic_ns()}"
            person = Person(demo.told["homeserver"], account["user"], account["password"], folder)
            people[name] = await stack.enter_async_context(person)
        yield Scene(demo, people)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    """One demo for all tests that disturb nobody, with everybody signed in."""
    with demo_in_a_new_folder(IMPACTHUB_HUB__PACE_BURST="100000") as demo:
        async with scene_of(demo, *CAST) as scene:
            yield scene


async def entry(person: Person, said: Said) -> tuple[str, dict[str, str]]:
    """Open a calendar file: its method, and the fields of its one entry."""
    assert said.content["filename"].endswith(".ics")
    assert said.content["info"]["mimetype"] == "text/calendar"
    calendar = Calendar.from_ical(await person.contents_of(said))
    (event,) = calendar.walk("VEVENT")
    return str(calendar["METHOD"]), {name: str(event[name]) for name in ("UID", "SEQUENCE", "SUMMARY")} | {
        "START": event["DTSTART"].dt.isoformat(),
        "ALL": calendar.to_ical().decode(),
    }


async def pinged(scene: Scene, person: Person, code: str, *, after: int, files: int = 1) -> tuple[Said, list[Said]]:
    """Wait for a private ping about something, among what the person hears after their first `after` events."""

    def ping() -> list[Said] | None:
        # What the network's room hears carries the same code, and reaches each of its members in its own time.
        fresh = [each for each in person.heard(scene.bot)[after:] if each.room != scene.room]
        at = next((at for at, each in enumerate(fresh) if each.is_text and code in each.body), None)
        return fresh[at : at + 1 + files] if at is not None and len(fresh) > at + files else None

    found = await person.until(ping, f"a ping about {code}")
    assert found is not None
    return found[0], found[1:]


# -- the demo itself ----------------------------------------------------------------------------------------------


async def test_the_demo_tells_in_one_line_where_everything_is(scene: Scene) -> None:
    told = scene.demo.told
    assert set(told) == {"homeserver", "rooms", "bots", "accounts"}
    assert told["homeserver"] == f"http://127.0.0.1:{scene.demo.port}"
    assert set(told["rooms"]) == {*NETWORKS, "coordinators"}
    assert set(told["bots"]) == set(NETWORKS)
    assert set(told["accounts"]) == set(CAST)
    assert all(set(account) == {"user", "password"} for account in told["accounts"].values())
    assert scene.demo.runs
    for network in NETWORKS:
        room = scene.member.client.rooms[told["rooms"][network]]
        assert room.encrypted
        assert {account["user"] for account in told["accounts"].values()} < set(room.users)
        assert set(room.users) & set(told["bots"].values()) == {told["bots"][network]}
    coordinators = scene.coordinator.client.rooms[told["rooms"]["coordinators"]]
    assert coordinators.encrypted
    assert set(coordinators.users) == {scene.coordinator.id, *told["bots"].values()}


async def test_a_stopped_demo_leaves_no_process_and_goes_on_where_it_was() -> None:
    with demo_in_a_new_folder() as demo:
        before = demo.told
        async with scene_of(demo, "member", "mentor") as scene:
            slot = (await scene.slots(scene.member, scene.mentor))[0]
            text, _files = await scene.ask(scene.member, f"hours book slot={slot}", files=1)
            code = BOOKING.findall(text.body)[0]
        processes = demo.processes()
        assert len(processes) == 3  # the demo, the homeserver, the bots
        assert demo.stop() == (0, b"")
        _gone, alive = psutil.wait_procs(processes, timeout=10)
        assert not alive

        demo.start()
        assert demo.told == before
        async with scene_of(demo, "member") as scene:
            text, _ = await scene.ask(scene.member, "hours mine")
            assert code in text.body
        assert demo.stop() == (0, b"")

        with socket.socket() as other:  # somebody else has taken the port meanwhile
            other.bind(("127.0.0.1", demo.port))
            other.listen()
            demo.start()
        assert demo.told["homeserver"] != before["homeserver"]
        assert demo.told["rooms"] == before["rooms"]
        async with scene_of(demo, "member") as scene:
            text, _ = await scene.ask(scene.member, "hours mine")
            assert code in text.body
        processes = demo.processes()
        processes[0].kill()
        _gone, alive = psutil.wait_procs(processes, timeout=30)
        assert not alive  # they end with the demo, however that ends


# -- office hours -------------------------------------------------------------------------------------------------


async def test_a_booking_is_made_by_answering_moved_and_cancelled(scene: Scene) -> None:
    member, mentor = scene.member, scene.mentor
    member_handle, mentor_handle = await scene.handle(member), await scene.handle(mentor)
    room, seen, told = await scene.dm(member), len(member.heard(scene.bot)), len(mentor.heard(scene.bot))
    assert member.invited_by[room] == scene.bot
    assert member.client.rooms[room].encrypted

    question = await member.say(scene.room, "!hours book")
    await member.until(lambda: member.heard(scene.bot)[seen:], "the question in private")
    asked = member.heard(scene.bot)[seen]
    assert asked.room == room
    assert asked.content["m.mentions"] == {}
    choices = [line for line in asked.body.splitlines() if "\u20e3" in line]
    assert len(choices) == len(asked.lines) == 9
    mark = {"rel_type": "m.annotation", "event_id": question, "key": "📬"}
    await member.until(
        lambda: [each for each in member.read if each.sender == scene.bot and each.content.get("m.relates_to") == mark],
        "the mark that the answer is in private",
    )
    assert not [each for each in member.heard(scene.bot, scene.room) if each.answers == question]

    number = next(at for at, line in enumerate(choices, 1) if mentor_handle in line)
    text, (file,) = await scene.ask(member, str(number), files=1)
    (code,) = set(BOOKING.findall(text.body))
    assert mentor_handle in text.body
    assert text.lines == [f"hours move booking={code}", f"hours cancel booking={code}"]
    method, booked = await entry(member, file)
    assert (method, booked["SEQUENCE"]) == ("REQUEST", "0")
    assert booked["SUMMARY"] == "Appointment"

    ping, (copy,) = await pinged(scene, mentor, code, after=told)
    assert ping.encrypted
    assert set(mentor.client.rooms[ping.room].users) == {mentor.id, scene.bot}
    assert ping.content["m.mentions"] == {"user_ids": [mentor.id]}
    assert member_handle in ping.body
    assert member.id not in ping.body
    assert await entry(mentor, copy) == (method, booked | {"ALL": booked["ALL"]})
    for name in (member_handle, mentor_handle, "member", "mentor", "hub", "impact", "localhost", "complaint"):
        assert name not in booked["ALL"].casefold()

    told = len(mentor.heard(scene.bot))
    other = next(slot for slot in await scene.slots(member, mentor))
    text, (file,) = await scene.ask(member, f"hours move booking={code} slot={other}", files=1)
    assert code in text.body
    method, moved = await entry(member, file)
    assert (method, moved["UID"], moved["SEQUENCE"]) == ("REQUEST", booked["UID"], "1")
    assert moved["START"] != booked["START"]
    _ping, (copy,) = await pinged(scene, mentor, code, after=told)
    assert (await entry(mentor, copy))[1]["SEQUENCE"] == "1"

    told = len(mentor.heard(scene.bot))
    text, (file,) = await scene.ask(member, f"hours cancel booking={code}", files=1)
    method, cancelled = await entry(member, file)
    assert (method, cancelled["UID"], cancelled["START"]) == ("CANCEL", booked["UID"], moved["START"])
    assert int(cancelled["SEQUENCE"]) > 1
    _ping, (copy,) = await pinged(scene, mentor, code, after=told)
    assert (await entry(mentor, copy))[0] == "CANCEL"


async def test_a_slot_is_booked_in_the_room_by_its_code_and_cancelled_by_a_number_key(scene: Scene) -> None:
    member, mentor = scene.member, scene.mentor
    slot = (await scene.slots(member, mentor))[0]
    room, seen, told = await scene.dm(member), len(member.heard(scene.bot)), len(mentor.heard(scene.bot))
    public = len(member.heard(scene.bot, scene.room))
    await member.say(scene.room, f"!hours book slot={slot} topic=heliotrope questions")
    await member.until(lambda: len(member.heard(scene.bot, room)) and len(member.heard(scene.bot)) >= seen + 2)
    text, file = member.heard(scene.bot)[seen:]
    assert text.room == file.room == room
    (code,) = set(BOOKING.findall(text.body))
    ping, _files = await pinged(scene, mentor, code, after=told)
    assert "heliotrope" not in ping.body  # what it is about is read where only the mentor looks
    mine, _ = await scene.ask(mentor, "hours mine")
    assert "heliotrope questions" in next(line for line in mine.body.splitlines() if code in line)

    told, seen = len(mentor.heard(scene.bot)), len(member.heard(scene.bot))
    await member.press(text, "2\ufe0f\u20e3")
    await member.until(lambda: len(member.heard(scene.bot)) >= seen + 2, "the answer to the pressed key")
    answer, file = member.heard(scene.bot)[seen:]
    assert answer.answers in {None, text.id}
    assert (await entry(member, file))[0] == "CANCEL"
    await pinged(scene, mentor, code, after=told)
    assert len(member.heard(scene.bot, scene.room)) == public


async def test_a_mentor_who_wants_to_be_asked_confirms_with_a_number_key(scene: Scene) -> None:
    member, mentor = scene.member, scene.mentor2
    slot = (await scene.slots(member, mentor))[0]
    told = len(mentor.heard(scene.bot))
    text, _files = await scene.ask(member, f"hours book slot={slot}", files=1)
    (code,) = set(BOOKING.findall(text.body))
    ping, _files = await pinged(scene, mentor, code, after=told)
    assert ping.lines == [f"hours confirm booking={code}", f"hours decline booking={code}"]
    seen = len(member.heard(scene.bot))
    await mentor.press(ping, "1\ufe0f\u20e3")
    confirmed, (file,) = await pinged(scene, member, code, after=seen)
    assert confirmed.content["m.mentions"] == {"user_ids": [member.id]}
    assert (await entry(member, file))[0] == "REQUEST"


async def test_of_two_members_who_race_for_a_slot_one_gets_it(scene: Scene) -> None:
    one, two, mentor = scene.member2, scene.member3, scene.mentor
    rooms = [await scene.dm(each) for each in (one, two)]
    slot = (await scene.slots(scene.member, mentor))[-1]
    for each in (one, two):
        await scene.ask(each, "me language en")
    seen = {each.name: len(each.heard(scene.bot)) for each in (one, two)}
    told = len(mentor.heard(scene.bot))
    await asyncio.gather(
        *(each.say(room, f"hours book slot={slot}") for each, room in zip((one, two), rooms, strict=True))
    )
    answers = []
    for each in (one, two):
        await each.until(lambda each=each: each.heard(scene.bot)[seen[each.name] :], "an answer")
        answers.append(each.heard(scene.bot)[seen[each.name]])
    got, missed = sorted(answers, key=lambda answer: not BOOKING.search(answer.body))
    (code,) = set(BOOKING.findall(got.body))
    assert missed.body == "That slot was just taken. !hours open lists the open ones."
    assert missed.lines == []
    await pinged(scene, mentor, code, after=told)
    assert (
        len(
            scene.demo.rows("select 1 from booking b join hour_session s on s.id = b.session_id where s.code = ?", slot)
        )
        == 1
    )
    assert [slot] == [
        row[0]
        for row in scene.demo.rows(
            "select s.code from booking b join hour_session s on s.id = b.session_id where b.code = ?", code
        )
    ]
    await scene.ask(one, "me language uk")
    await scene.ask(two, "me language ru")


async def test_reminders_come_a_day_and_an_hour_before_each_once() -> None:
    with demo_in_a_new_folder() as demo:
        async with scene_of(demo, "member", "mentor") as scene:
            member, mentor = scene.member, scene.mentor
            slot = (await scene.slots(member, mentor))[0]
            text, (file,) = await scene.ask(member, f"hours book slot={slot}", files=1)
            (code,) = set(BOOKING.findall(text.body))
            await pinged(scene, mentor, code, after=0)
            starts = datetime.fromisoformat((await entry(member, file))[1]["START"])
            zones = {"member": "Europe/Kyiv", "mentor": "Europe/Brussels"}
            for number, before in enumerate((timedelta(hours=24), timedelta(hours=1)), 1):
                seen = {each.name: len(each.heard(scene.bot)) for each in (member, mentor)}
                demo.stop()
                shift = starts - before + timedelta(minutes=2) - datetime.now(UTC)
                env = {"IMPACTHUB_HUB__CLOCK_SHIFT": f"PT{int(shift.total_seconds())}S"}
                due = "select state, tries from outbox where key like 'remind:%' order by put_at"
                with demo.bots_alone(**env):  # due while the homeserver is away: they wait, and are not worn out
                    async with asyncio.timeout(60):
                        while len(demo.rows(due)) < 2 * number:  # noqa: ASYNC110
                            await asyncio.sleep(0.1)
                    await asyncio.sleep(3)
                    assert demo.rows(due)[-2:] == [("pending", 0)] * 2
                demo.start(**env)
                for each in (member, mentor):
                    await each.until(partial(lambda of, after: of.heard(scene.bot)[after:], each, seen[each.name]))
                await asyncio.sleep(2)
                for each in (member, mentor):
                    (reminder,) = each.heard(scene.bot)[seen[each.name] :]
                    assert f"{starts.astimezone(ZoneInfo(zones[each.name])):%H:%M}" in reminder.body
                    assert reminder.content["m.mentions"] == {"user_ids": [each.id]}
                    assert set(each.client.rooms[reminder.room].users) == {each.id, scene.bot}
                assert demo.rows(due) == [("sent", 1)] * 2 * number


# -- cases --------------------------------------------------------------------------------------------------------


CASE = re.compile(r"C-[0-9A-Z]{6}")


async def test_a_case_lives_in_the_encrypted_private_room_and_nowhere_else(scene: Scene) -> None:
    member = scene.member
    text, _ = await scene.ask(member, "case open")
    assert "legal tool" in text.body
    for answer in ("1", "1", "Germany"):
        text, _ = await scene.ask(member, answer)
    assert "code name" in text.body
    opened, _ = await scene.ask(member, "Heliotrope file")
    (code,) = set(CASE.findall(opened.body))
    await scene.ask(member, f"case stage {code} filed")
    history, (picture,) = await scene.ask(member, f"case history {code}", files=1)
    assert "history" in history.body
    assert (await member.contents_of(picture)).startswith(b"\x89PNG\r\n\x1a\n")
    assert picture.content["filename"] == "history.png"
    assert "Filed" in picture.body, "in words for those who cannot see it"

    # Another member gets the answer that everybody gets who names what there is not.
    theirs, _ = await scene.ask(scene.member2, f"case show {code}")
    none, _ = await scene.ask(scene.member2, "case show C-000000")
    assert theirs.body == none.body
    await scene.ask(scene.member2, "stop")

    # In the network's room nothing of it is said, and what was said there is taken away.
    room, seen = await scene.dm(member), len(member.heard(scene.bot, scene.room))
    told = len(member.heard(scene.bot, room))
    event = await member.say(scene.room, f"!case note {code} a quinquereme")
    await member.until(lambda: member.heard(scene.bot, room)[told:], "the refusal in private")
    assert "in private" in member.heard(scene.bot, room)[told].body
    assert len(member.heard(scene.bot, scene.room)) == seen

    async def is_gone() -> bool:
        (found,) = [each for each in await member.on_the_wire(scene.room) if each["event_id"] == event]
        return not found["content"]

    async with asyncio.timeout(20):
        while not await is_gone():  # noqa: ASYNC110
            await asyncio.sleep(0.2)

    names_nobody(scene.demo.log, scene, code, "eliotrope", "quinquereme")
    for file in scene.demo.state.glob("*.db*"):
        assert b"eliotrope" not in file.read_bytes()


async def test_a_check_in_is_asked_once_in_private_and_answered_with_keys_and_one_line() -> None:
    with demo_in_a_new_folder() as demo:
        async with scene_of(demo, "member", "coordinator") as scene:
            member = scene.member
            opened, _ = await scene.ask(member, 'case open uj-complaint prosecutor DE "Heliotrope file"')
            (code,) = set(CASE.findall(opened.body))
            await scene.ask(member, f'case cadence {code} week at="Tue 10:00"')
            today = datetime.now(UTC)
            tuesday = today.date() + timedelta(days=(1 - today.weekday()) % 7 or 7)
            at = datetime(tuesday.year, tuesday.month, tuesday.day, 10, 1, tzinfo=ZoneInfo("Europe/Kyiv"))
            shift = at - today
            room, seen = await scene.dm(member), len(member.heard(scene.bot))
            demo.stop()
            demo.start(IMPACTHUB_HUB__CLOCK_SHIFT=f"PT{int(shift.total_seconds())}S")
            (prompt,) = await member.until(lambda: member.heard(scene.bot)[seen:], "the question") or []
            assert (prompt.room, code in prompt.body) == (room, True)
            assert "Heliotrope" not in prompt.body
            assert prompt.content["m.mentions"] == {"user_ids": [member.id]}

            seen = len(member.heard(scene.bot))
            await member.press(prompt, "1\ufe0f\u20e3")
            (question,) = await member.until(lambda: member.heard(scene.bot)[seen:], "the first question") or []
            assert "moved" in question.body
            for key in ("1\ufe0f\u20e3", "1\ufe0f\u20e3", "5\ufe0f\u20e3"):
                heard = len(member.heard(scene.bot))
                await member.press(question, key)
                question = await member.until(
                    lambda after=heard: next(iter(member.heard(scene.bot)[after:]), None), "the next question"
                )
            thanks, _ = await scene.ask(member, "the file waits for money")
            assert "Thank you" in thanks.body
            await asyncio.sleep(2)
            assert sum("How does" in each.body for each in member.heard(scene.bot)) == 1
            history, _files = await scene.ask(member, f"case history {code}", files=1)
            assert "the file waits for money" in history.body
            coordinators = demo.told["rooms"]["coordinators"]
            assert not any("eliotrope" in each.body for each in scene.coordinator.heard(scene.bot, coordinators))


# -- the library --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [("member", "torture in Syria, Germany"), ("member2", "катування в Сирії"), ("member3", "пытки Сирия Германия")],
)
async def test_the_library_is_searched_in_every_language(scene: Scene, name: str, words: str) -> None:
    person = scene.people[name]
    answer = await scene.in_the_room(person, f"!find {words}")
    assert "de-koblenz-anwar-r" in answer.body
    assert words in answer.body
    assert answer.body.count("https://") >= 3
    assert re.search(r"20\d\d", answer.body)  # every source says when it was checked
    assert "resource show id=de-koblenz-anwar-r" in answer.lines
    assert "<a href=" in answer.content["formatted_body"]
    shown = await scene.in_the_room(person, "!resource show de-koblenz-anwar-r")
    assert "https://" in shown.body


@pytest.mark.parametrize("word", ["command responsibility", "командна відповідальність", "командная ответственность"])
async def test_a_term_is_said_in_every_language(scene: Scene, word: str) -> None:
    answer = await scene.in_the_room(scene.member, f"!term {word}")
    for each in ("command responsibility", "командна відповідальність", "командная ответственность"):
        assert each in answer.body


# -- the digest ---------------------------------------------------------------------------------------------------


async def test_the_library_answers_with_its_sources_or_says_that_it_cannot(scene: Scene) -> None:
    question = "ask does Germany need the suspect to be present to open a universal jurisdiction case"
    answer, _ = await scene.ask(scene.member, question)
    assert "VStGB" in answer.body
    assert "Check before relying" in answer.body
    assert "<a href=" in answer.content["formatted_body"]
    whole, _ = await scene.ask(scene.member, "1")
    assert "no link to Germany" in whole.body
    refused, _ = await scene.ask(scene.member, "ask which football club won the cup in Brazil")
    assert "does not answer that" in refused.body


async def test_a_question_goes_to_the_network_without_a_name_and_comes_back_answered(scene: Scene) -> None:
    await scene.ask(scene.member, "ask put Which court of Ruritania hears such complaints?")
    put, _ = await scene.ask(scene.member, "yes")
    code = re.findall(r"Q-\w+", put.body)[0]

    def announced() -> Said | None:
        return next((each for each in scene.member2.heard(scene.bot, scene.room) if code in each.body), None)

    told = await scene.member2.until(announced, "the question in the network's room")
    assert told is not None
    assert told.encrypted
    assert "Ruritania" in told.body
    assert await scene.handle(scene.member) not in told.body
    after = len(scene.member.heard(scene.bot))
    await scene.ask(scene.member2, f"ask answer {code} The city court, at first instance.")
    ping, _ = await pinged(scene, scene.member, code, after=after, files=0)
    assert "The city court, at first instance." in ping.body
    assert await scene.handle(scene.member2) in ping.body
    closed, _ = await scene.ask(scene.member, f"ask accept {code}")
    assert code in closed.body


async def test_a_checklist_follows_a_case_in_the_private_room_only(scene: Scene) -> None:
    opened, _ = await scene.ask(
        scene.member, "case open tool=uj-complaint forum=prosecutor jurisdiction=DE title=Nightingale"
    )
    code = re.findall(r"C-\w+", opened.body)[0]
    marked, _ = await scene.ask(scene.member, f"checklist mark {code} uj-de u1 done")
    assert "13" in marked.body
    shown, _ = await scene.ask(scene.member, f"checklist uj-de case={code}")
    assert "☑ u1" in shown.body
    assert "☐ u2" in shown.body
    seen = len(scene.member.heard(scene.bot, scene.room))
    await scene.member.say(scene.room, f"!checklist uj-de case={code}")
    await scene.member.until(
        lambda: [each for each in scene.member.heard(scene.bot) if "say that to me in private" in each.body],
        "a refusal",
    )
    assert not [each for each in scene.member.heard(scene.bot, scene.room)[seen:] if "u1" in each.body]


async def test_what_is_taken_in_beside_the_running_bots_is_found_within_a_minute(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "quokka.md").write_text("# Quokka act\n\n## Article 7\n\nNobody may trade in quokkas.\n")
    program, settings = Path(sys.executable).with_name("impacthub"), scene.demo.state / "settings.toml"
    env = {**os.environ, "IMPACTHUB_SECRETS_FILE": str(scene.demo.state / "secrets.toml")}
    command = [program, "ingest", "--settings", settings, tmp_path / "quokka.md"]
    await asyncio.to_thread(subprocess.run, command, env=env, cwd=scene.demo.state.parent, check=True)
    async with asyncio.timeout(60):
        while "Quokka act" not in (await scene.ask(scene.member, "find quokkas"))[0].body:  # noqa: ASYNC110 no event tells
            await asyncio.sleep(2)


# -- the digest ---------------------------------------------------------------------------------------------------


async def test_the_digest_comes_into_the_coordinators_room_with_a_picture_and_a_page(scene: Scene) -> None:
    coordinator, room = scene.coordinator, scene.demo.told["rooms"]["coordinators"]
    assert scene.people["member"].client.rooms.get(room) is None
    handles = [await scene.handle(each) for each in (scene.member, scene.mentor, scene.mentor2)]
    seen = len(coordinator.heard(scene.bot, room))
    await scene.ask(coordinator, "digest now")
    await coordinator.until(lambda: len(coordinator.heard(scene.bot, room)) >= seen + 3, "the digest")
    text, picture, page = coordinator.heard(scene.bot, room)[seen:]
    assert text.content["msgtype"] == "m.notice"
    assert "Universal jurisdiction" in text.body

    assert picture.content["msgtype"] == "m.image"
    png = await coordinator.contents_of(picture)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert picture.content["info"]["size"] == len(png)
    assert picture.content["filename"] == "digest.png"
    assert len(picture.body) > 30
    assert picture.body != picture.content["filename"]

    assert page.content["msgtype"] == "m.file"
    assert page.content["filename"] == "digest.html"
    html = (await coordinator.contents_of(page)).decode()
    assert "Universal jurisdiction" in html
    assert 'src="data:image/png;base64,' in html
    assert "default-src 'none'" in html
    assert not re.search(r"""\b(?:src|href|action)\s*=(?!"data:)|url\(|@import|<script|<link|<iframe|\son\w+=""", html)
    for handle in (*handles, "@"):
        assert handle not in text.body + picture.body
        assert handle not in re.sub(r"base64,[^\"]*|<style>.*?</style>", "", html, flags=re.DOTALL)


async def test_a_member_does_not_get_the_digest(scene: Scene) -> None:
    seen = len(scene.coordinator.heard(scene.bot, scene.demo.told["rooms"]["coordinators"]))
    text, files = await scene.ask(scene.member, "digest now")
    assert not files
    assert "coordinator" in text.body
    await scene.ask(scene.coordinator, "me")
    assert len(scene.coordinator.heard(scene.bot, scene.demo.told["rooms"]["coordinators"])) == seen


# -- languages ----------------------------------------------------------------------------------------------------


async def test_help_speaks_the_members_language(scene: Scene) -> None:
    english, _ = await scene.ask(scene.member, "help")
    assert not re.search("[а-яіїєґ]", english.body.casefold())
    ukrainian, _ = await scene.ask(scene.member2, "help")
    assert len(re.findall("[іїєґ]", ukrainian.body.casefold())) > 10
    russian, _ = await scene.ask(scene.member3, "help")
    assert len(re.findall("[ыэъё]", russian.body.casefold())) > 2
    for text in (english, ukrainian, russian):
        for line in ("hours book", "hours cancel", "me language", "case open", "privacy erase"):
            assert line in text.body  # commands have one name in every language
        assert "hours offer" not in text.body
        assert "digest" not in text.body


async def test_replies_follow_the_chosen_language(scene: Scene) -> None:
    member = scene.member
    before, _ = await scene.ask(member, "me")
    changed, _ = await scene.ask(member, "me language uk")
    assert re.search("[іїєґ]", changed.body)
    after, _ = await scene.ask(member, "me")
    assert re.search("[іїєґ]", after.body)
    assert before.body != after.body
    back, _ = await scene.ask(member, "me language en")
    assert not re.search("[а-яіїєґ]", back.body)


# -- guests -------------------------------------------------------------------------------------------------------


async def test_a_guest_may_look_things_up_and_nothing_else(scene: Scene, tmp_path: Path) -> None:
    demo = scene.demo
    secret = json.loads((demo.state / "homeserver" / "state.json").read_text())["secret"]
    register(demo.told["homeserver"], secret, "stranger", "a stranger's password")
    bookings = demo.rows("select count(*) from booking")
    async with Person(demo.told["homeserver"], "@stranger:localhost", "a stranger's password", tmp_path) as guest:
        room = await guest.room_with(scene.bot)
        assert room == guest.dm(scene.bot)
        shown, _ = await scene.ask(guest, "help")
        offered = set(re.findall(r"!([a-z]+(?: [a-z]+)?)", shown.body))
        assert {"find", "term", "help", "me", "me language"} <= offered
        assert not [path for path in offered if path.split()[0] in {"hours", "book", "digest", "roles", "audit"}]
        assert "de-koblenz-anwar-r" in (await scene.ask(guest, "find torture in Syria, Germany"))[0].body
        assert "командна" in (await scene.ask(guest, "term command responsibility"))[0].body
        assert "guest" in (await scene.ask(guest, "me"))[0].body
        slot = (await scene.slots(scene.member, scene.mentor))[0]
        for line in (
            "hours open",
            f"hours book slot={slot}",
            f"book {slot}",
            "hours mine",
            "hours offer Tue 16:00-18:00",
            "digest now",
            "digest preview",
        ):
            text, files = await scene.ask(guest, line)
            assert "role" in text.body, line
            assert (text.lines, files) == ([], []), line
        for line in ("digest schedule Mon 09:00", "roles list", "roles grant nobody-nowhere admin", "audit show"):
            text, files = await scene.ask(guest, line)
            assert "role" in text.body, line
            assert (text.lines, files) == ([], []), line
        assert demo.rows("select count(*) from booking") == bookings


# -- what people write --------------------------------------------------------------------------------------------

MARKUP = "<b>bold</b> **stars** @room <img src=x onerror=alert(1)> [x](https://x.example) &amp;"


async def test_what_people_write_comes_back_as_words(scene: Scene) -> None:
    member, mentor = scene.member, scene.mentor
    found = await scene.in_the_room(member, f"!find {MARKUP}")
    slot = (await scene.slots(member, mentor))[2]
    await scene.ask(member, f'hours book slot={slot} topic="{MARKUP}"', files=1)
    mine, _ = await scene.ask(member, "hours mine")
    mentors, _ = await scene.ask(mentor, "hours mine")
    wrong, _ = await scene.ask(member, "<h1>frobnicate</h1> @room")
    for said in (found, mine, mentors):
        assert MARKUP in said.body
        rich = said.content["formatted_body"]
        assert "&lt;b&gt;bold&lt;/b&gt; **stars** @room &lt;img src=x onerror=alert(1)&gt;" in rich
        assert "[x](https://x.example) &amp;amp;" in rich
        assert "<img" not in rich
        assert "<b>" not in rich
    assert "<h1>" in wrong.body
    assert "<h1>" not in wrong.content["formatted_body"]
    for said in (found, mine, mentors, wrong):
        assert said.content["m.mentions"] == {}


async def test_everything_that_the_bots_say_is_encrypted_on_the_wire_and_a_notice(scene: Scene) -> None:
    bots = set(scene.demo.told["bots"].values())
    await scene.in_the_room(scene.member, "!find presence of the suspect")
    await scene.ask(scene.member, "help")
    seen: Counter[str] = Counter()
    for person in scene.people.values():
        for room in list(person.client.rooms):
            for event in await person.on_the_wire(room):
                if event["sender"] not in bots or "state_key" in event:
                    continue
                seen[event["type"]] += 1
                assert event["type"] in {"m.room.encrypted", "m.reaction", "m.room.redaction"}
                if event["type"] == "m.room.redaction":  # it takes words away, and has none
                    assert set(event["content"]) <= {"redacts"}
                elif event["type"] == "m.reaction":  # reactions cannot be encrypted: they say nothing by themselves
                    assert event["content"]["m.relates_to"]["key"] in SIGNS
                else:
                    assert set(event["content"]) <= {
                        "algorithm",
                        "ciphertext",
                        "device_id",
                        "sender_key",
                        "session_id",
                        "m.relates_to",
                    }
        assert not person.locked
        for said in person.read:
            if said.sender in bots and said.type == "m.room.message":
                assert said.encrypted
                assert said.content["msgtype"] in ({"m.notice"} if said.is_text else {"m.image", "m.file"})
                assert not said.content["m.mentions"].get("room")
    assert seen["m.room.encrypted"] > 2


# -- what lies on disk --------------------------------------------------------------------------------------------


async def test_the_state_folder_is_private_and_keeps_no_words(scene: Scene) -> None:
    member, mentor, demo = scene.member, scene.mentor, scene.demo
    planted = "quinquagenarian"
    slot = (await scene.slots(member, mentor))[1]
    booked, _ = await scene.ask(member, f"hours book slot={slot} topic={planted} matters", files=1)
    await scene.in_the_room(member, f"!find {planted}")
    await scene.ask(member, f"hours cancel {planted}")
    await scene.ask(member, "stop")
    mine, _ = await scene.ask(mentor, "hours mine")
    assert planted in mine.body
    (code,) = set(BOOKING.findall(booked.body))
    assert demo.rows("select code from booking where code = ?", code)  # what is searched is the right file

    nobody_else_can_read(demo.state)
    names_nobody(demo.log, scene, planted, code, slot)
    for file in (*demo.state.glob("hub.db*"), *demo.state.glob("keys.db*")):
        raw = file.read_bytes()
        for word in (planted, "@member", "@mentor", "@coordinator", *demo.told["accounts"]["member"].values()):
            for coded in (word.encode(), word.encode("utf-16-le")):
                assert coded not in raw, (file, word)


def nobody_else_can_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):  # databases come and go with their journals
            assert path.lstat().st_mode & 0o077 == 0, path


def names_nobody(log: str, scene: Scene, *words: str) -> None:
    """Check that a log holds no account, no room, no handle, and none of these words."""
    rooms = {room for person in scene.people.values() for room in person.client.rooms}
    assert len(log) > 500
    for word in ("@", "localhost", *rooms, *scene.handles.values(), *words):
        assert word not in log, word


# -- kills and restarts -------------------------------------------------------------------------------------------


@dataclass
class Command:
    """Something that a member has asked for."""

    who: str
    what: str
    about: str
    """A slot, a booking, or a word that nobody else has searched."""
    event: str = ""


@dataclass
class Crowd:
    """Members who book, cancel and search without pause, and who remember what they asked."""

    scene: Scene
    rng: random.Random
    slots: dict[str, list[str]] = field(default_factory=dict)
    asked: list[Command] = field(default_factory=list)
    pause: tuple[float, float] = (0.05, 0.5)

    NAMES = ("member", "member2", "member3")

    async def gather(self, days: int) -> None:
        """Let everybody come, in one language, and deal out the slots; some of them twice."""
        scene = self.scene
        for name in (*self.NAMES, "mentor"):
            await scene.dm(scene.people[name])
            await scene.ask(scene.people[name], "me language en")
        slots: list[str] = []
        for day in range(1, days + 1):
            slots += await scene.slots(scene.member, scene.mentor, days=(day, day))
        self.rng.shuffle(slots)
        for at, slot in enumerate(slots):
            names = self.rng.sample(self.NAMES, 2 if at % 5 == 0 else 1)
            for name in names:
                self.slots.setdefault(name, []).append(slot)

    async def keep_asking(self, name: str, until: asyncio.Event) -> None:
        person = self.scene.people[name]
        room = await self.scene.dm(person)
        cancelled: set[str] = set()
        while not until.is_set():
            mine = {code for code in self.booked_by(name) if code not in cancelled}
            match self.rng.choice(("book", "book", "find", "find here", "cancel")):
                case "book" if self.slots.get(name):
                    command = Command(name, "book", self.slots[name].pop())
                    line, where = f"hours book slot={command.about}", room
                case "cancel" if mine:
                    command = Command(name, "cancel", self.rng.choice(sorted(mine)))
                    cancelled.add(command.about)
                    line, where = f"hours cancel booking={command.about}", room
                case "find here":
                    command = Command(name, "find here", f"zzq{self.rng.randrange(10**9)}")
                    line, where = f"!find {command.about}", self.scene.room
                case _:
                    command = Command(name, "find", f"zzq{self.rng.randrange(10**9)}")
                    line, where = f"find {command.about}", room
            command.event = await person.say(where, line)
            self.asked.append(command)
            await asyncio.sleep(self.rng.uniform(*self.pause))

    def texts(self, name: str) -> list[Said]:
        person = self.scene.people[name]
        return [each for each in person.heard(self.scene.bot, person.dm(self.scene.bot)) if each.is_text]

    def booked_by(self, name: str) -> list[str]:
        """The codes that a member was given."""
        return [BOOKING.findall(each.body)[0] for each in self.texts(name) if each.body.startswith("Booked:")]

    async def is_answered(self) -> None:
        """Wait until everything has its answer, and then a little: what is said twice must have its time."""
        async with asyncio.timeout(120):
            waiting = "select 1 from outbox where state = 'pending'"
            while any(self.open(name) for name in self.NAMES) or self.scene.demo.rows(waiting):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        await asyncio.sleep(3)

    def open(self, name: str) -> list[str]:
        """What a member has asked and not been told."""
        texts = self.texts(name)
        here = {each.answers for each in self.scene.people[name].heard(self.scene.bot, self.scene.room)}
        mine = [each for each in self.asked if each.who == name]
        found = [each.about for each in mine if each.what == "find" and not any(each.about in t.body for t in texts)]
        found += [each.about for each in mine if each.what == "find here" and each.event not in here]
        for what, answers in self.answers(name).items():
            asked = sum(each.what == what for each in mine)
            if asked > len(answers):
                found.append(f"{asked - len(answers)} × {what}")
        return found

    def answers(self, name: str) -> dict[str, list[Said]]:
        texts = self.texts(name)
        return {
            "book": [each for each in texts if each.body.startswith(("Booked:", "That slot", "You have another"))],
            "cancel": [each for each in texts if each.body.startswith("Cancelled: 1 booking")],
        }

    async def judge(self) -> str:
        """Nothing lost, nothing twice: what people read, what the database holds, and what the mentor was told."""
        scene, demo = self.scene, self.scene.demo
        assert not [name for name, person in scene.people.items() if person.locked], "somebody cannot read something"
        for person in scene.people.values():
            keys = Counter(
                (each.room, each.content["org.impacthub.key"])
                for each in person.read
                if "org.impacthub.key" in each.content
            )
            assert not [key for key, times in keys.items() if times > 1]
        assert not demo.rows("select key, state, error from outbox where state <> 'sent'")
        assert not demo.rows("select key from inbox where done_at is null")

        rows = demo.rows(
            "select b.code, s.code, b.state, b.id from booking b join hour_session s on s.id = b.session_id"
        )
        slot_of = {code: slot for code, slot, _state, _id in rows}
        state_of = {code: state for code, _slot, state, _id in rows}
        standing = Counter(slot for _code, slot, state, _id in rows if state == "confirmed")
        assert not [slot for slot, times in standing.items() if times > 1]
        given: list[str] = []
        fell: list[str] = []
        for name in self.NAMES:
            mine = [each for each in self.asked if each.who == name]
            texts, person = self.texts(name), scene.people[name]
            for each in mine:
                if each.what == "find":
                    assert sum(each.about in text.body for text in texts) == 1, each
                if each.what == "find here":
                    replies = [said for said in person.heard(scene.bot, scene.room) if said.answers == each.event]
                    assert [each.about in said.body for said in replies] == [True], each
            for what, answers in self.answers(name).items():
                assert len(answers) == sum(each.what == what for each in mine), (name, what)
            booked = self.booked_by(name)
            wanted = {each.about for each in mine if each.what == "book"}
            assert len({slot_of[code] for code in booked}) == len(booked)
            assert {slot_of[code] for code in booked} <= wanted
            given += booked
            entries = [
                await entry(person, each) for each in person.heard(scene.bot, person.dm(scene.bot)) if not each.is_text
            ]
            cancelled = [each.about for each in mine if each.what == "cancel"]
            assert Counter(method for method, _ in entries) == Counter(REQUEST=len(booked)) + Counter(
                CANCEL=len(cancelled)
            )
            assert len({fields["UID"] for method, fields in entries if method == "REQUEST"}) == len(booked)
            assert {state_of[code] for code in cancelled} <= {"cancelled"}
            fell += cancelled
        assert sorted(given) == sorted(slot_of)
        assert sorted(fell) == sorted(code for code, state in state_of.items() if state == "cancelled")
        told = Counter(
            f"{'New' if 'New booking' in each.body else 'Cancelled'} {code}"
            for each in self.texts("mentor")
            for code in BOOKING.findall(each.body)[:1]
        )
        assert told == Counter([*(f"New {code}" for code in given), *(f"Cancelled {code}" for code in fell)]), "pings"
        return f"{len(self.asked)} commands, {len(given)} bookings, {len(fell)} cancellations"


async def played_under_kills(kills: int, days: int, pause: tuple[float, float]) -> None:
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    with demo_in_a_new_folder(IMPACTHUB_HUB__PACE_BURST="100000") as demo:
        async with scene_of(demo, *Crowd.NAMES, "mentor") as scene:
            crowd = Crowd(scene, rng, pause=pause)
            await crowd.gather(days)
            enough = asyncio.Event()
            asking = [asyncio.create_task(crowd.keep_asking(name, enough)) for name in Crowd.NAMES]
            killed = set()
            for _kill in range(kills):
                await asyncio.sleep(rng.uniform(0.5, 6.0))
                bots = await asyncio.to_thread(demo.bots)
                killed.add(bots.pid)
                bots.kill()
            await asyncio.sleep(1)
            enough.set()
            await asyncio.gather(*asking)
            try:
                since = time.monotonic()
                await crowd.is_answered()
                waited = f"the last answer after {time.monotonic() - since:.0f} s"
                sys.stdout.write(f"\nseed {seed}, {len(killed)} kills: {await crowd.judge()}; {waited}\n")
            except (AssertionError, TimeoutError) as error:
                still = {name: crowd.open(name) for name in crowd.NAMES}
                raise AssertionError(f"seed {seed}, {len(killed)} kills; unanswered: {still}: {error}") from error
            assert len(killed) == kills
            assert demo.runs
            nobody_else_can_read(demo.state)
            names_nobody(demo.log, scene, *{each.about for each in crowd.asked})


async def test_kills_at_any_moment_lose_nothing_and_repeat_nothing() -> None:
    await played_under_kills(5, days=10, pause=(0.05, 0.6))


@pytest.mark.soak
async def test_many_kills_lose_nothing_and_repeat_nothing() -> None:
    times = int(os.environ.get("SOAK", "1"))
    for _round in range(times):
        await played_under_kills(20, days=27, pause=(0.05, 1.0))


async def test_a_homeserver_that_goes_away_and_comes_back_costs_nothing() -> None:
    seed = random.randrange(10**6)
    with demo_in_a_new_folder(IMPACTHUB_HUB__PACE_BURST="100000") as demo:
        async with scene_of(demo, *Crowd.NAMES, "mentor") as scene:
            crowd = Crowd(scene, random.Random(seed))
            await crowd.gather(6)
            enough = asyncio.Event()
            asking = [asyncio.create_task(crowd.keep_asking(name, enough)) for name in crowd.NAMES]
            await asyncio.sleep(2)
            synapse = demo.synapse()
            synapse.kill()
            await ended(synapse)
            await asyncio.sleep(4)
            with demo.homeserver() as homeserver:
                assert homeserver.url == demo.told["homeserver"]
                await asyncio.sleep(3)
                enough.set()
                await asyncio.gather(*asking)
                try:
                    await crowd.is_answered()
                    sys.stdout.write(f"\nseed {seed}: {await crowd.judge()}\n")
                except (AssertionError, TimeoutError) as error:
                    still = {name: crowd.open(name) for name in crowd.NAMES}
                    raise AssertionError(f"seed {seed}; unanswered: {still}: {error}") from error

                homeserver.stop()
                bots = demo.bots()
                bots.kill()
                await ended(bots)
                written = len(demo.log)
                again = await asyncio.to_thread(demo.bots)
                async with asyncio.timeout(60):
                    while demo.log[written:].count("\n") < len(NETWORKS):  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
                await asyncio.sleep(3)
                assert again.is_running()
                waiting = demo.log[written:].splitlines()
                assert len(waiting) == len(NETWORKS), waiting  # each bot says it once
                assert all("waiting for it" in line for line in waiting)
                homeserver.start()
                text, _ = await scene.ask(scene.member, "hours mine")
                assert text.body
                assert "the homeserver is back" in demo.log[written:]
                names_nobody(demo.log, scene, *{each.about for each in crowd.asked})
