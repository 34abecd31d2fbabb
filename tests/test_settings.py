"""Settings: a wrong one is a clear sentence with the key's name, and a secret never shows."""

from pathlib import Path

import pytest

from bots.app import master_key
from bots.settings import SECRETS_FILE, WrongSetting, load

HOUSE = Path(__file__).parents[1]
KEY = "ab" * 32


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    monkeypatch.delenv(SECRETS_FILE, raising=False)
    monkeypatch.setenv("IMPACTHUB_SECRETS__MASTER_KEY", KEY)


@pytest.fixture
def settings(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "settings.toml"
        path.write_text('[networks.uj]\nname = "UJ"\n' + text)
        return path

    return write


def wrong(path: Path) -> str:
    with pytest.raises(WrongSetting) as error:
        load(path)
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


def test_the_file_that_ships_is_right_and_names_every_key():
    loaded = load(HOUSE / "settings.toml")
    assert list(loaded.networks) == ["uj", "sanctions", "climate"]
    text = (HOUSE / "settings.toml").read_text("utf-8")
    assert all(f"{key} =" in text for key in type(loaded.hub).model_fields)


def test_the_environment_wins_over_the_file(settings, monkeypatch):
    monkeypatch.setenv("IMPACTHUB_HUB__CLOCK_SHIFT", "PT24H")
    assert load(settings('[hub]\nclock_shift = "PT1H"\n')).hub.clock_shift.total_seconds() == 24 * 3600


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[hub]\nlanguge = "en"\n', "hub.languge"),
        ("[hub]\npace_burst = 0\n", "hub.pace_burst"),
        ('[hub]\nclock_shift = "zzz"\n', "hub.clock_shift: this is no length of time"),
        ('[hub]\nlog_level = "loud"\n', "hub.log_level"),
        ('[networks.climate]\nname = "C"\nzone = "Europe/Kiyv"\n', "networks.climate.zone"),
        ('[networks.climate]\nlanguage = "en"\n', "networks.climate.name"),
        ('[matrix.uj]\nhomeserver = "http://x"\nuser = "hub"\n', "matrix.uj.user"),
        ("[discord.uj]\nguild = 0\n", "discord.uj.guild"),
        ("[discord.uj]\nguild = 1\n", "secrets.discord.uj.token: this secret is missing"),
        ("[discord.uj]\nguild = 1\nshard_ids = [2]\nshard_count = 2\n", "discord.uj: shard_ids are numbers"),
        ('[discord.uj]\nguild = 1\nroles = { admin = "A" }\n', "discord.uj.roles.admin"),
        ("[discord.moon]\nguild = 1\n", "discord.moon"),
        ('[hub]\nconfidential = ["paper"]\n', "hub.confidential"),
        ('[matrix.moon]\nhomeserver = "http://x"\nuser = "@hub:x"\n', "matrix.moon"),
        ("[secrets]\nmaster_key = 'x'\n", "[secrets]"),
    ],
)
def test_a_wrong_setting_is_named(settings, text, key):
    assert key in wrong(settings(text))


def test_a_misspelt_environment_variable_is_named(settings, monkeypatch):
    monkeypatch.setenv("IMPACTHUB_HUB__LANGUGE", "en")
    assert "hub.languge" in wrong(settings(""))


def test_a_missing_file_and_a_broken_one_are_told(tmp_path):
    assert "no such file" in wrong(tmp_path / "nothing.toml")
    (tmp_path / "broken.toml").write_text("[hub")
    assert "not TOML" in wrong(tmp_path / "broken.toml")


def test_a_missing_secret_is_named_with_the_variable_that_holds_it(settings, monkeypatch):
    monkeypatch.delenv("IMPACTHUB_SECRETS__MASTER_KEY")
    assert "IMPACTHUB_SECRETS__MASTER_KEY" in wrong(settings(""))


def test_a_master_key_of_the_wrong_shape_is_refused_without_being_shown(settings, monkeypatch):
    monkeypatch.setenv("IMPACTHUB_SECRETS__MASTER_KEY", "hunter2")
    loaded = load(settings(""))
    assert "hunter2" not in repr(loaded)
    with pytest.raises(WrongSetting, match=r"secrets\.master_key") as error:
        master_key(loaded)
    assert "hunter2" not in str(error.value)


def test_secrets_come_from_a_private_file(settings, tmp_path, monkeypatch):
    monkeypatch.delenv("IMPACTHUB_SECRETS__MASTER_KEY")
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(f'master_key = "{KEY}"\n')
    monkeypatch.setenv(SECRETS_FILE, str(secrets))
    secrets.chmod(0o644)
    assert "chmod 600" in wrong(settings(""))
    secrets.chmod(0o600)
    assert master_key(load(settings(""))) == bytes.fromhex(KEY)
