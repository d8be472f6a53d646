"""The container images: what is installed in them is locked, and what they are built from is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LOCKS = sorted(ROOT.glob("requirements*.lock"))
# A name, with an extra or without, its version, and on which machines.
REQUIREMENT = re.compile(r"([a-z0-9.-]+)(?:\[[a-z0-9,-]+\])?==([^ ;]+)(?: ; (.+))?")


def read_lock(path: Path) -> dict[tuple[str, str | None], str]:
    """The version of each requirement by its name and its marker; each must have a hash, and none an address."""
    versions: dict[tuple[str, str | None], str] = {}
    for block in re.split(r"\n(?=\S)", path.read_text().strip()):
        requirement, *hashes = (line.strip() for line in block.replace("\\\n", "\n").splitlines())
        parts = REQUIREMENT.fullmatch(requirement)
        assert parts is not None, requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes), requirement
        versions[parts[1], parts[3]] = parts[2]
    return versions


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_hold_versions_and_hashes_only(lock: Path) -> None:
    assert len(read_lock(lock)) > 50


def test_the_gpu_image_is_the_cpu_image_with_cuda_for_jax() -> None:
    cpu = read_lock(ROOT / "requirements-runtime.lock")
    gpu = read_lock(ROOT / "requirements-gpu.lock")
    assert cpu.items() <= gpu.items()
    added = {name: version for (name, marker), version in gpu.items() if (name, marker) not in cpu}
    assert all(name.startswith(("jax-cuda", "nvidia-")) for name in added), added
    plugins = {version for name, version in added.items() if name.startswith("jax-cuda")}
    assert plugins == {cpu["jaxlib", None]}
    assert cpu["tensorflow-cpu", "platform_machine == 'x86_64' and sys_platform == 'linux'"]


def test_the_images_copy_only_files_that_the_build_is_given() -> None:
    given = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert {name for line in copied for name in line.split()} == given
    assert all((ROOT / name).exists() for name in given)


def test_nothing_is_installed_that_is_not_locked() -> None:
    lines = re.findall(r"pip install (.+)$", DOCKERFILE, re.MULTILINE)
    assert lines
    assert all(
        "--require-hashes -r requirements-" in line or line.endswith("--no-build-isolation . ./clients/python")
        for line in lines
    )
