"""Where models are kept, by the settings."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings


def test_a_folder_is_read_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTFIELDER_MODELS_STORE", str(tmp_path))
    assert Settings().models_store == Settings().models_folder == tmp_path
    assert Settings(models_store=tmp_path / "other").models_folder == tmp_path / "other"
    assert Settings(models_store=f"file://{tmp_path}/a%20b").models_folder == tmp_path / "a b"


def test_an_object_store_has_a_copy_of_its_own_in_the_state_folder(tmp_path: Path) -> None:
    urls = ["s3://bucket/a", "s3://bucket/b", "gs://bucket/a", "s3://bucket/a/"]
    made = [Settings(models_store=url, state_dir=tmp_path) for url in urls]
    assert [settings.models_store for settings in made] == [*urls[:3], urls[0]]
    folders = [settings.models_folder for settings in made]
    assert folders[3] == folders[0]
    assert len(set(folders)) == 3
    assert all(folder.parent == tmp_path / "store-cache" for folder in folders)
    assert Settings.model_validate(made[0].model_dump()) == made[0]


@pytest.mark.parametrize(
    "url",
    ["s3://", "http://host/bucket", "s3://key:hunter2@bucket", "s3://bucket?secret=hunter2", "file://host/folder"],
)
def test_a_url_that_is_none_of_an_object_store_is_refused_without_showing_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTFIELDER_MODELS_STORE", url)
    with pytest.raises(ValidationError) as refusal:
        Settings()
    assert "hunter2" not in str(refusal.value)
    ran = subprocess.run([sys.executable, "-m", "service.cli", "check-store"], capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr.startswith("outfielder: OUTFIELDER_MODELS_STORE: ")
    assert "hunter2" not in ran.stderr
    assert "Traceback" not in ran.stderr
