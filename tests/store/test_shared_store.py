"""A store in an object store that many machines share: what one publishes, points or deletes, all serve."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import (
    AliasInUse,
    ModelNotFound,
    StorageUnavailable,
    StoreUnreadable,
    VersionDamaged,
    VersionNotFound,
)
from service.storage.finding import Repair
from service.storage.object_storage import ObjectStorage
from service.store import mirror as mirror_module
from service.store.pretrained import publish_pretrained
from service.store.shared_catalog import SharedCatalog
from service.store.shared_state import ModelState
from tests.s3 import S3
from tests.store.machines import Machine, objects_of, wait_until
from tests.store.test_store import add_version, make_manifest


def in_parallel(*calls: Callable[[], object]) -> None:
    failures: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_version_published_by_one_machine_is_served_by_another(one: Machine, two: Machine) -> None:
    published = one.publish()
    assert published.version == 1
    assert two.numbers() == [1]
    assert two.catalog.resolve("demo") == published
    two.catalog.verify(published)
    # The publisher has it at once.
    one.catalog.refresh()
    assert one.catalog.resolve("demo") == published


def test_a_machine_that_follows_sees_versions_and_aliases(one: Machine, two: Machine) -> None:
    two.catalog.open()
    try:
        wait_until(lambda: _is_copied(two.catalog))
        with pytest.raises(ModelNotFound):
            two.catalog.resolve("demo")
        published = one.publish()
        wait_until(lambda: _serves(two.catalog, published.version))
        one.catalog.set_alias("demo", "stable", 1)
        wait_until(lambda: two_aliases(two) == {"stable": 1})
    finally:
        two.catalog.close()


def _is_copied(catalog: SharedCatalog) -> bool:
    try:
        catalog.refresh()
    except StoreUnreadable:
        return False
    return True


def _serves(catalog: SharedCatalog, version: int) -> bool:
    catalog.refresh()
    return any(manifest.version == version for entry in catalog.models() for manifest in entry.versions)


def two_aliases(machine: Machine) -> dict[str, int]:
    machine.catalog.refresh()
    return machine.catalog.model("demo").aliases


def test_a_new_machine_is_not_ready_before_it_has_a_copy(s3: S3, one: Machine, two: Machine) -> None:
    one.publish()
    s3.fail("500")
    two.catalog.open()
    try:
        wait_until(lambda: two.catalog.failures > 0)
        with pytest.raises(StoreUnreadable, match=r"still being copied.*HTTP 500"):
            two.catalog.refresh()
        s3.fail("")
        wait_until(lambda: _is_copied(two.catalog))
        assert two.catalog.resolve("demo").version == 1
    finally:
        two.catalog.close()


def test_one_process_of_a_machine_looks_and_another_takes_its_place(s3_url: str, one: Machine, tmp_path: Path) -> None:
    first, second = (Machine(s3_url, tmp_path / "shared").catalog for _ in range(2))
    first.open()
    wait_until(lambda: _is_copied(first))
    second.open()
    one.publish()
    wait_until(lambda: _serves(second, 1))
    first.close()
    one.publish()
    wait_until(lambda: _serves(second, 2))
    second.close()


def test_numbers_are_unique_and_never_used_again(one: Machine, two: Machine) -> None:
    published: list[int] = []
    lock = threading.Lock()

    def publish(machine: Machine) -> None:
        for _ in range(3):
            version = machine.publish().version
            with lock:
                published.append(version)

    in_parallel(*(lambda machine=machine: publish(machine) for machine in (one, two, one, two)))
    assert sorted(published) == list(range(1, 13))
    assert one.numbers() == two.numbers() == list(range(1, 13))
    for version in (12, 3):
        two.catalog.delete_version("demo", version)
    assert one.numbers() == [1, 2, *range(4, 12)]
    assert one.publish().version == 13


def test_a_job_publishes_once_whoever_runs_it(one: Machine, two: Machine, s3_url: str) -> None:
    versions: list[int] = []
    in_parallel(
        *(lambda machine=machine: versions.append(machine.publish(job_id="job").version) for machine in (one, two, one))
    )
    assert len(set(versions)) == 1
    assert two.publish(job_id="job", content=b"z").version == versions[0]
    assert one.numbers() == [versions[0]]
    two.store.prepare("demo")
    found = two.store.find_by_job("demo", "job")
    assert found is not None
    assert found.version == versions[0]
    # The others' objects are gone.
    assert {key.split("/")[1] for key in objects_of(s3_url) if key.startswith("demo/")} == {str(versions[0])}


def test_a_run_that_was_thought_dead_gets_the_version_of_its_successor(one: Machine, two: Machine, s3_url: str) -> None:
    folder = one.store.staging("zombie")
    (folder / "saved_model.pb").write_bytes(b"graph of a zombie")
    successors = []

    def describe(number: int) -> bytes:
        # Between its claim and its end, another worker has taken the job over.
        successors.append(two.publish(job_id="job"))
        return make_manifest(job_id="job", version=number, files={}).to_json()

    published = one.catalog.mirror.models.publish(folder, "demo", "job", describe, "token of the zombie")
    assert published == (successors[0].version, False)
    assert one.numbers() == two.numbers() == [successors[0].version] == [2]
    assert not any(key.startswith("demo/1/") for key in objects_of(s3_url))
    assert one.publish().version == 3


def test_no_alias_of_many_writers_is_lost(one: Machine, two: Machine) -> None:
    for _ in range(4):
        one.publish()
    machines = (one, two)
    in_parallel(*(lambda i=i: machines[i % 2].catalog.set_alias("demo", f"alias-{i}", 1 + i % 4) for i in range(10)))
    for machine in machines:
        machine.look()
        assert machine.catalog.model("demo").aliases == {f"alias-{i}": 1 + i % 4 for i in range(10)}


def test_an_alias_and_a_deletion_of_its_version_never_both_succeed(one: Machine, two: Machine) -> None:
    one.publish()
    for version in range(2, 8):
        one.publish()
        two.look()
        outcomes: list[str] = []

        def point(version: int = version, outcomes: list[str] = outcomes) -> None:
            try:
                one.catalog.set_alias("demo", f"a{version}", version)
                outcomes.append("pointed")
            except (VersionNotFound, VersionDamaged):
                pass

        def delete(version: int = version, outcomes: list[str] = outcomes) -> None:
            try:
                two.catalog.delete_version("demo", version)
                outcomes.append("deleted")
            except AliasInUse:
                pass

        in_parallel(point, delete)
        assert len(outcomes) == 1
    assert one.look().damaged == two.look().damaged == ()


def test_the_later_champion_stays(one: Machine, two: Machine) -> None:
    first, second = one.publish(), one.publish()
    two.store.promote(second)
    one.store.promote(first)
    assert two.look().model("demo").aliases == {"champion": 2}
    one.catalog.set_alias("demo", "champion", 1)
    assert two.look().resolve("demo").version == 1


def test_changes_are_seen_at_once_where_they_are_made_and_soon_elsewhere(one: Machine, two: Machine) -> None:
    one.publish("a")
    one.publish("b")
    two.look()
    two.catalog.set_default("b")
    assert two.catalog.default == "b"
    assert one.look().default == "b"
    one.catalog.set_alias("a", "stable", 1)
    assert one.catalog.resolve("a", "stable").version == 1
    with pytest.raises(AliasInUse):
        two.catalog.delete_version("a", 1)
    with pytest.raises(VersionNotFound):
        one.catalog.set_alias("a", "stable", 7)
    two.catalog.delete_model("a")
    assert [entry.name for entry in two.catalog.models()] == ["b"]
    assert [entry.name for entry in one.look().models()] == ["b"]
    assert one.publish("a").version == 2
    assert two.numbers("a") == [2]


def test_a_store_that_was_copied_into_a_bucket_is_served_and_goes_on(
    s3_url: str, one: Machine, two: Machine, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    for _ in range(3):
        add_version(folder)
    (folder / "demo" / "aliases.json").write_text('{"champion": 2}')
    (folder / "default.json").write_text('{"name": "demo"}')
    storage = ObjectStorage(s3_url)
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            storage.upload(path, path.relative_to(folder).as_posix())
    assert one.numbers() == [1, 2, 3]
    assert one.catalog.default == "demo"
    assert one.catalog.resolve("demo").version == 2
    with pytest.raises(AliasInUse):
        one.catalog.delete_version("demo", 2)
    one.catalog.delete_version("demo", 3)
    assert two.numbers() == [1, 2]
    assert two.publish().version == 4
    assert one.numbers() == [1, 2, 4]
    assert one.catalog.model("demo").aliases == {"champion": 2}


def test_a_flipped_byte_on_this_machine_is_mended_from_the_object_store(one: Machine, two: Machine) -> None:
    published = one.publish()
    two.look()
    for path in ("saved_model.pb", "variables/variables.index"):
        file = two.catalog.folder(published) / path
        content = bytearray(file.read_bytes())
        content[0] ^= 1
        file.write_bytes(content)
        two.catalog.verify(published)
        content[0] ^= 1
        assert file.read_bytes() == content
    (two.catalog.folder(published) / "manifest.json").write_text("{}")
    assert two.numbers() == [1]
    (two.catalog.folder(published) / "saved_model.pb").unlink()
    assert two.numbers() == [1]
    two.catalog.verify(published)


def test_a_flipped_byte_in_the_object_store_is_refused_and_the_version_before_serves(
    s3_url: str, one: Machine, two: Machine
) -> None:
    one.publish()
    two.look()
    damaged = one.publish()
    one.store.promote(damaged)
    storage = ObjectStorage(s3_url)
    original = storage.get("demo/2/saved_model.pb")
    storage.put("demo/2/saved_model.pb", b"grapj")
    assert two.numbers() == [1]
    assert two.catalog.resolve("demo").version == 1
    entries = {damage.entry: damage.reason for damage in two.catalog.damaged}
    assert "has a saved_model.pb that is not what was published in the object store" in entries["demo/2"]
    with pytest.raises(VersionDamaged, match="not what was published"):
        two.catalog.resolve("demo", 2)
    # Who has it goes on with it, and can't mend what breaks.
    one.catalog.verify(damaged)
    (one.catalog.folder(damaged) / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(VersionDamaged, match=r"In the object store it has a saved_model.pb that is not"):
        one.catalog.verify(damaged)
    storage.put("demo/2/saved_model.pb", original)
    two.catalog.mirror.forget_refusals()
    assert two.numbers() == [1, 2]
    assert two.catalog.damaged == ()
    assert two.catalog.resolve("demo").version == 2


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff"])
def test_a_damaged_manifest_in_the_object_store_is_refused(
    content: bytes, s3_url: str, one: Machine, two: Machine
) -> None:
    one.publish()
    ObjectStorage(s3_url).put("demo/1/manifest.json", content)
    assert two.numbers() == []
    assert [damage.entry for damage in two.catalog.damaged] == ["demo/1"]
    two.catalog.delete_version("demo", 1)
    assert two.look().damaged == ()
    assert one.numbers() == []


def test_lost_objects_are_named_and_a_copy_goes_on_serving(s3_url: str, one: Machine, two: Machine) -> None:
    published = one.publish()
    ObjectStorage(s3_url).delete(["demo/1/manifest.json"])
    assert two.numbers() == []
    assert "lacks its manifest.json" in two.catalog.damaged[0].reason
    assert one.numbers() == [1]
    one.catalog.verify(published)


def test_an_outage_leaves_the_copy_serving_and_is_told(s3: S3, s3_url: str, one: Machine, two: Machine) -> None:
    one.publish()
    two.look()
    s3.fail("500")
    with pytest.raises(StorageUnavailable):
        two.catalog.mirror.refresh()
    two.catalog.refresh()
    assert two.catalog.resolve("demo").version == 1
    [damage] = two.catalog.damaged
    assert damage.entry == s3_url
    assert "can't be read since" in damage.reason
    assert "HTTP 500" in damage.reason
    assert two.catalog.failures == 1
    assert two.catalog.age_seconds < 60
    with pytest.raises(StorageUnavailable, match="HTTP 500"):
        two.catalog.set_alias("demo", "stable", 1)
    s3.fail("")
    assert two.look().damaged == ()


def test_a_publication_waits_for_an_outage_to_end(s3: S3, one: Machine, two: Machine) -> None:
    s3.fail("500")
    threading.Timer(6.0, lambda: s3.fail("")).start()
    published = one.publish()
    assert two.numbers() == [published.version]


def test_a_publication_without_permission_fails_at_once(s3: S3, one: Machine) -> None:
    s3.fail("403")
    before = s3.count_requests()
    with pytest.raises(StorageUnavailable, match="refuses access"):
        one.publish()
    # Whoever waits for an outage to end asks again and again.
    assert s3.count_requests() - before < 5


def test_who_asks_for_what_is_not_there_waits_once_for_a_store_that_is_away(s3: S3, one: Machine) -> None:
    one.publish()
    one.look()
    s3.fail("500")
    one.catalog.catch_up()
    before = s3.count_requests()
    for _ in range(5):
        one.catalog.catch_up()
    assert s3.count_requests() == before
    assert one.catalog.resolve("demo").version == 1
    s3.fail("")
    one.catalog.mirror.refresh({"demo"})
    one.catalog.catch_up()
    assert one.catalog.damaged == ()


def test_of_many_who_ask_at_once_for_what_is_not_there_one_looks(s3: S3, one: Machine) -> None:
    one.publish()
    one.look()
    s3.fail("500")
    with ThreadPoolExecutor(8) as threads:
        for asked in [threads.submit(one.catalog.catch_up) for _ in range(8)]:
            asked.result()
    assert one.catalog.failures == 1
    assert one.catalog.resolve("demo").version == 1


def test_nobody_waits_for_ever_for_a_look_that_hangs(one: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    one.publish()
    one.look()
    monkeypatch.setattr(mirror_module, "LOCK_SECONDS", 0.1)
    with one.catalog.mirror._turn, pytest.raises(StorageUnavailable, match="slow to answer"):
        one.catalog.set_alias("demo", "steady", 1)


def test_a_model_that_was_copied_by_hand_is_read_again(s3_url: str, one: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for _ in range(2):
        add_version(folder)
    storage = ObjectStorage(s3_url)
    (folder / "demo" / "aliases.json").write_text('{"champion": 1}')
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            storage.upload(path, path.relative_to(folder).as_posix())
    assert one.look().model("demo").aliases == {"champion": 1}
    storage.put("demo/aliases.json", b'{"champion": 2}')
    assert one.look().model("demo").aliases == {"champion": 2}


def test_a_publication_on_a_store_that_fails_now_and_then_is_whole(s3: S3, one: Machine, two: Machine) -> None:
    s3.fail("flaky")
    for _ in range(3):
        one.publish()
    one.catalog.set_alias("demo", "stable", 2)
    s3.fail("")
    assert two.numbers() == [1, 2, 3]
    assert two.catalog.model("demo").aliases == {"stable": 2}
    for manifest in two.catalog.model("demo").versions:
        two.catalog.verify(manifest)


def test_a_job_that_is_cancelled_while_it_waits_ends(s3: S3, one: Machine) -> None:
    folder = one.store.staging("job")
    (folder / "saved_model.pb").write_bytes(b"graph")

    class Cancelled(Exception):
        pass

    calls = 0

    def raise_if_stopped() -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise Cancelled

    s3.fail("500")
    with pytest.raises(Cancelled):
        one.store.publish(folder, make_manifest(), raise_if_stopped)


def test_what_an_interrupted_publication_left_is_never_seen(s3_url: str, one: Machine, two: Machine) -> None:
    storage = ObjectStorage(s3_url)

    def claim(state: ModelState) -> tuple[ModelState, int]:
        return state.claim("a run that was killed", 1.0)

    number = one.catalog.mirror.models.change("demo", claim)
    storage.put(f"demo/{number}/saved_model.pb", b"graph")
    published = one.publish()
    storage.put(f"demo/{number}/manifest.json", replace(published, version=number).to_json())
    assert published.version == number + 1
    assert two.numbers() == [published.version]
    assert two.catalog.damaged == ()


def test_the_package_is_published_once_by_machines_that_start_together(one: Machine, two: Machine) -> None:
    in_parallel(lambda: publish_pretrained(one.store), lambda: publish_pretrained(two.store))
    publish_pretrained(two.store)
    assert one.numbers("zero-shot") == two.numbers("zero-shot")
    assert len(one.numbers("zero-shot")) == 1
    two.catalog.delete_model("zero-shot")
    assert publish_pretrained(one.store) == []
    assert one.numbers("zero-shot") == []


def test_a_store_that_is_away_when_the_package_is_published_is_told_of_and_left(
    s3: S3, one: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    s3.fail("500")
    assert publish_pretrained(one.store) == []
    assert "can't be put into the store" in caplog.text


def test_a_folder_can_stand_for_the_object_store(tmp_path: Path) -> None:
    one, two = (Machine(f"file://{tmp_path}/objects", tmp_path / name) for name in ("one", "two"))
    one.publish()
    two.publish()
    one.store.promote(one.publish())
    assert two.numbers() == [1, 2, 3]
    assert two.catalog.model("demo").aliases == {"champion": 3}


numbers = st.integers(1, 6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["claim", "commit", "remove", "point"]), numbers, st.sampled_from(["a", "b"])),
        max_size=30,
    )
)
def test_states_survive_json_and_never_give_a_number_twice(steps: list[tuple[str, int, str]]) -> None:
    state, given_out = ModelState(), []
    for i, (what, number, alias) in enumerate(steps):
        if what == "claim":
            state, claimed = state.claim(f"token {i}", float(i))
            given_out.append(claimed)
        elif what == "commit" and number in state.claims:
            state = state.commit(number, f"job {i}", "digest")
        elif what == "remove" and number in state.numbers() and not state.naming(number):
            state = state.remove([number])
        elif what == "point" and number in state.numbers():
            state = state.point(alias, number)
        state = state.renewed()
        assert ModelState.from_json(state.to_json()) == state
        assert set(state.aliases.values()) <= set(state.numbers())
    assert len(given_out) == len(set(given_out))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"last_version": "1"}', ModelState().to_json().replace(b"0", b"-1")]
)
def test_a_damaged_state_is_refused_and_the_other_models_go_on(
    content: bytes, s3_url: str, one: Machine, two: Machine, tmp_path: Path
) -> None:
    one.publish()
    two.look()
    storage = ObjectStorage(s3_url)
    key = ".state/models/demo.json"
    sound = storage.get(key)
    storage.put(key, content)
    other = one.publish("other")
    assert two.numbers("other") == [other.version]
    assert two.catalog.resolve("demo").version == 1
    (damage,) = two.catalog.damaged
    assert (damage.entry, damage.model) == (key, "demo")
    with pytest.raises(StorageUnavailable, match=r"damaged .state/models/demo.json"):
        two.catalog.set_alias("demo", "stable", 1)
    assert storage.get(key) == content
    # A machine that never knew the model has nothing of it, and serves the others.
    three = Machine(s3_url, tmp_path / "three")
    assert [entry.name for entry in three.look().models()] == ["other"]
    with pytest.raises(VersionDamaged, match="is damaged in the object store"):
        three.catalog.model("demo")
    storage.put(key, sound)
    assert two.look().damaged == three.look().damaged == ()
    assert three.numbers() == [1]


def test_a_machine_that_restarts_during_an_outage_serves_its_copy(s3: S3, s3_url: str, one: Machine) -> None:
    one.publish()
    one.look()
    s3.fail("500")
    again = Machine(s3_url, one.store.root)
    again.catalog.open()
    try:
        again.catalog.refresh()
        assert again.catalog.resolve("demo").version == 1
        wait_until(lambda: again.catalog.failures > 0)
        again.catalog.refresh()
        assert again.catalog.resolve("demo").version == 1
        assert [damage.entry for damage in again.catalog.damaged] == [s3_url]
    finally:
        again.catalog.close()


def test_a_default_that_is_taken_away_is_taken_away_everywhere(s3_url: str, one: Machine, two: Machine) -> None:
    one.publish("a")
    one.publish("b")
    one.catalog.set_default("b")
    assert two.look().default == "b"
    ObjectStorage(s3_url).delete([".state/default.json"])
    assert two.look().default == one.look().default == "a"


def test_what_is_killed_while_it_publishes_leaves_whole_versions_alone(
    s3: S3, s3_url: str, two: Machine, tmp_path: Path
) -> None:
    """Processes that publish again and again are killed at moments that differ."""
    for i in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", PUBLISHES, s3_url, str(tmp_path / f"machine-{i % 2}")], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.09 * i)
        process.kill()
        process.wait()
        process.stdout.close()
    catalog = two.look()
    assert catalog.damaged == ()
    versions = catalog.model("demo").versions
    for manifest in versions:
        catalog.verify(manifest)
    assert len({manifest.job_id for manifest in versions}) == len(versions)
    for machine in (two, Machine(s3_url, tmp_path / "machine-0")):
        repair = Repair(mends=True, older_than_seconds=-60)
        machine.store.check(repair)
        assert all(finding.is_mended for finding in repair.findings)
    assert two.numbers() == [manifest.version for manifest in versions]
    seen = {key.split("/")[1] for key in objects_of(s3_url) if key.startswith("demo/")}
    assert seen == {str(manifest.version) for manifest in versions}


PUBLISHES = """
import sys
from pathlib import Path
from tests.store.machines import Machine

machine = Machine(sys.argv[1], Path(sys.argv[2]))
machine.publish()
print("published", flush=True)
while True:
    machine.publish(content=b"x" * 300)
"""
