"""Files with keys: one for each key that there was, readable by those who need it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tollgate.core.errors import NotYet, SettingsError
from tollgate.gateway import secret_files
from tollgate.gateway.secret_files import SecretFiles, granted_watches
from tollgate.settings import Settings, load


def settings_with(folder: Path, params: str) -> Settings:
    """The settings of one model."""
    file = folder / "file.yaml"
    file.write_text(f"model_list: [{{model_name: a, litellm_params: {{{params}}}}}]")
    return load(file, {})


def test_another_key_is_another_file_until_it_is_forgotten(tmp_path: Path) -> None:
    """Calls in flight may still need the old one, also after a restart of ours."""
    settings = settings_with(tmp_path, "model: openai/a, api_key: os.environ/KEY")
    first = SecretFiles(tmp_path, 0o640).write(settings, {"KEY": "one"})["KEY"]
    secrets = SecretFiles(tmp_path, 0o640)
    second = secrets.write(settings, {"KEY": "two"})["KEY"]
    assert secrets.write(settings, {"KEY": "one"})["KEY"] == first != second
    told = [
        json.loads(Path(each).read_text())["resources"][0]["generic_secret"]["secret"]
        for each in (first, second)
    ]
    assert told == [{"inline_string": "one"}, {"inline_string": "two"}]
    assert Path(first).stat().st_mode & 0o777 == 0o640
    secrets.forget_others(f'{{"path": "{second}"}}')
    assert [each.name for each in tmp_path.glob("secret-*")] == [Path(second).name]


def many(folder: Path, *keys: str) -> Settings:
    """The settings of one model for each key."""
    file = folder / "many.yaml"
    entries = [
        f"{{model_name: m{n}, litellm_params: {{model: openai/a, api_key: {key}}}}}"
        for n, key in enumerate(keys)
    ]
    file.write_text(f"model_list: [{', '.join(entries)}]")
    return load(file, {})


def test_deployments_with_one_key_share_its_file(tmp_path: Path) -> None:
    """Envoy watches each file, and a user may watch only so many."""
    files = SecretFiles(tmp_path, 0o600).write(many(tmp_path, *["one"] * 50, "two"), {})
    assert (len(files), len(set(files.values()))) == (51, 2)


def test_more_keys_than_envoy_may_watch_are_refused_with_the_setting_to_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy would abort."""
    monkeypatch.setattr(secret_files, "most_watched", lambda: 34)
    keys = [f"k{n}" for n in range(3)]
    with pytest.raises(SettingsError, match=r"3 .* keys.* fs\.inotify\.max_user_instances"):
        SecretFiles(tmp_path, 0o600).write(many(tmp_path, *keys), {})
    assert len(SecretFiles(tmp_path, 0o600, watched=False).write(many(tmp_path, *keys), {})) == 3
    assert len(SecretFiles(tmp_path, 0o600).write(many(tmp_path, *keys[:2]), {})) == 2


def test_a_key_that_nobody_has_set_is_a_fault(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, "model: openai/a, api_key: os.environ/KEY")
    with pytest.raises(SettingsError, match="KEY"):
        SecretFiles(tmp_path, 0o600).write(settings, {})


def test_a_key_for_aws_is_a_credentials_file(tmp_path: Path) -> None:
    """Envoy takes no secret for its signatures."""
    params = "model: bedrock/a, aws_access_key_id: i, aws_secret_access_key: s"
    (file,) = SecretFiles(tmp_path, 0o600).write(settings_with(tmp_path, params), {}).values()
    assert Path(file).read_text() == "[default]\naws_access_key_id=i\naws_secret_access_key=s\n"


@pytest.mark.parametrize(("own", "refused"), [({}, True), ({"AWS_ACCESS_KEY_ID": "i"}, False)])
def test_envoys_own_aws_credentials_are_those_of_its_start(
    tmp_path: Path, own: dict[str, str], refused: bool
) -> None:
    """Of an Envoy that is somebody else's nobody knows them."""
    file = tmp_path / "file.yaml"
    file.write_text(
        "model_list: [{model_name: a, litellm_params: {model: bedrock/a}}]\n"
        "environment_variables: {AWS_ACCESS_KEY_ID: i}"
    )
    settings = load(file, {})
    assert SecretFiles(tmp_path, 0o600).write(settings, {}) == {}
    secrets = SecretFiles(tmp_path, 0o600, own)
    if refused:
        with pytest.raises(SettingsError, match="at its start only"):
            secrets.write(settings, {})
    else:
        assert secrets.write(settings, {}) == {}


def test_a_new_key_waits_for_the_instance_that_envoy_would_not_get(tmp_path: Path) -> None:
    """Envoy would abort. Keys whose files it has already need none; and nothing is written."""
    granted = [8]
    secrets = SecretFiles(tmp_path, 0o600, {}, granted=lambda wanted: min(wanted, granted[0]))
    secrets.write(many(tmp_path, "one", "two"), {})
    granted[0] = 4
    secrets.write(many(tmp_path, "one", "two"), {})
    with pytest.raises(NotYet, match=r"needs 5 more .* grants this user 4 now: raise fs\."):
        secrets.write(many(tmp_path, "one", "three"), {})
    assert len(list(tmp_path.glob("secret-*"))) == 2
    granted[0] = 5
    assert len(secrets.write(many(tmp_path, "one", "three"), {})) == 2


def test_the_kernel_is_asked_for_instances_that_are_given_back() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert granted_watches(2) == 2
    assert len(list(Path("/proc/self/fd").iterdir())) == before
