"""The output appears whole or not at all; what stood there survives every failure."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from bridgeckpt.converting.huggingface_folder import OWN_FILES, REPORT
from bridgeckpt.errors import OutputError
from bridgeckpt.store.folder import check_destination, staged


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_appears_when_the_block_ends(tmp_path):
    with staged(tmp_path / "a" / "b", OWN_FILES) as folder:
        (folder / "x").write_text("1")
        assert not (tmp_path / "a" / "b").exists()
    assert contents(tmp_path) == {(tmp_path / "a/b/x").relative_to(tmp_path): b"1"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_nothing_not_even_parents(error, tmp_path):
    with pytest.raises(error), staged(tmp_path / "a" / "b", OWN_FILES) as folder:
        (folder / "x").write_text("1")
        raise error
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_survives_a_failure_and_goes_on_success(tmp_path):
    old = tmp_path / "out"
    old.mkdir()
    (old / "config.json").write_text("old")
    (old / REPORT).write_text("old")
    with pytest.raises(ValueError, match="no"), staged(old, OWN_FILES, force=True) as folder:
        (folder / "config.json").write_text("new")
        raise ValueError("no")
    assert (old / "config.json").read_text() == "old"
    with staged(old, OWN_FILES, force=True) as folder:
        (folder / "config.json").write_text("new")
    assert {path.name: path.read_text() for path in old.iterdir()} == {"config.json": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_replacing_without_the_system_call_that_swaps(tmp_path, monkeypatch):
    monkeypatch.setattr("bridgeckpt.store.folder._exchange", lambda a, b: False)
    test_an_existing_folder_survives_a_failure_and_goes_on_success(tmp_path)


def test_two_runs_do_not_share_a_temporary_folder(tmp_path):
    """A run that was killed may have had the same process number, as in a container."""
    with staged(tmp_path / "out", OWN_FILES) as killed, staged(tmp_path / "other", OWN_FILES) as folder:
        assert folder != killed


def test_the_folder_is_as_open_as_the_umask_allows(tmp_path):
    (tmp_path / "ordinary").mkdir()
    with staged(tmp_path / "out", OWN_FILES):
        pass
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_what_fails_after_the_swap_is_no_failure(tmp_path, monkeypatch):
    def fail_on_the_parent(path):
        if path == tmp_path:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("bridgeckpt.store.folder._sync", fail_on_the_parent)
    test_an_existing_folder_survives_a_failure_and_goes_on_success(tmp_path)


def test_a_parent_that_is_used_meanwhile_stays_and_hides_no_error(tmp_path):
    with pytest.raises(ValueError, match="no"), staged(tmp_path / "a" / "b" / "c", OWN_FILES):
        (tmp_path / "a" / "other").write_text("x")
        raise ValueError("no")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["other"]


def test_what_came_to_be_meanwhile_is_never_replaced(tmp_path):
    with (
        pytest.raises(OutputError, match="was created by another process"),
        staged(tmp_path / "out", OWN_FILES) as folder,
    ):
        (folder / "x").write_text("1")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "precious").write_text("2")
    assert {path.name for path in tmp_path.rglob("*")} == {"out", "precious"}
    (tmp_path / "out" / "precious").unlink()
    with (
        pytest.raises(OutputError, match="was created by another process"),
        staged(tmp_path / "out", OWN_FILES) as folder,
    ):
        (tmp_path / "out" / "precious").write_text("2")
    assert {path.name for path in tmp_path.rglob("*")} == {"out", "precious"}


def test_of_two_runs_to_one_place_one_is_refused(tmp_path):
    with pytest.raises(OutputError, match="another conversion"), staged(tmp_path / "out", OWN_FILES) as first:
        (first / "x").write_text("1")
        with staged(tmp_path / "out", OWN_FILES) as second:
            (second / "y").write_text("2")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"y"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("link", [False, True])
def test_an_empty_folder_is_filled_and_stays_the_same_folder(link, tmp_path):
    """It may be a mount point, or where somebody's shell is."""
    out = tmp_path / "out"
    out.mkdir(mode=0o750)
    before = out.stat()
    if link:
        (tmp_path / "link").symlink_to(out)
    with staged(tmp_path / "link" if link else out, OWN_FILES) as folder:
        (folder / "config.json").write_text("1")
        (folder / "model.safetensors").write_text("2")
    assert (out.stat().st_ino, out.stat().st_mode) == (before.st_ino, before.st_mode)
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors"}
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no"), staged(tmp_path / "empty", OWN_FILES) as folder:
        (folder / "x").write_text("1")
        raise ValueError("no")
    assert not list((tmp_path / "empty").iterdir())


def test_destinations_that_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    check_destination(tmp_path / "new", OWN_FILES, force=False)
    check_destination(tmp_path / "empty", OWN_FILES, force=False)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is not a folder"):
        check_destination(tmp_path / "file", OWN_FILES, force=True)
    with pytest.raises(OutputError, match="cannot write"):
        check_destination(tmp_path / "nul\0", OWN_FILES, force=False)
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer_config.json", REPORT):
        (model / name).write_text("{}")
    with pytest.raises(OutputError, match="exists already") as caught:
        check_destination(model, OWN_FILES, force=False)
    assert "force=True" in caught.value.hint
    check_destination(model, OWN_FILES, force=True)
    (model / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match=r"not a converted model: it holds thesis\.tex"):
        check_destination(model, OWN_FILES, force=True)
    with pytest.raises(OutputError, match="exists already and is not a converted model") as caught:
        check_destination(model, OWN_FILES, force=False)
    assert "force" not in caught.value.hint  # which would be refused in turn
    (model / "thesis.tex").unlink()
    (model / REPORT).unlink()
    with pytest.raises(OutputError, match=f"and no {REPORT}"):
        check_destination(model, OWN_FILES, force=True)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_conversion_leaves_the_old_output_and_no_new_one(sent, example, tmp_path):
    """A real process is stopped when half of the tensors' bytes are written."""
    out, slow = tmp_path / "out", tmp_path / "slow.py"
    out.mkdir()
    for name in ("config.json", REPORT):
        (out / name).write_text("old")
    slow.write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored by who runs the tests, as under nohup
        "import bridgeckpt.copying.workers as workers\n"
        "from bridgeckpt.cli import main\n"
        "write = workers.write\n"
        "def write_half(output, data, *place):\n"
        "    write(output, data[: len(data) // 2], *place)\n"
        "    print('half', flush=True)\n"
        "    time.sleep(3)\n"
        "workers.write = write_half\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, str(slow), "convert", "tf2pt", str(example), str(out), "--force", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "half\n"
    process.send_signal(sent)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == (-signal.SIGKILL if sent == signal.SIGKILL else 130)
    assert {path.name: path.read_text() for path in out.iterdir()} == {"config.json": "old", REPORT: "old"}
    left = [path for path in tmp_path.iterdir() if path not in (out, slow)]
    if sent == signal.SIGKILL:  # nobody could clean up, but what is left is hidden and does not load
        assert [path.name.startswith(".out.") and path.name.endswith(".tmp") for path in left] == [True]
        assert not (left[0] / "config.json").exists()
    else:
        assert not left
        assert "interrupted" in errors


def convert_in_a_process(example, out, **options):
    command = [sys.executable, "-m", "bridgeckpt", "convert", "tf2pt", str(example), str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def test_a_disk_that_fills_up(example, tmp_path):
    """A real file system of 64 KiB, where the user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a file system is not allowed here")
    try:
        done = convert_in_a_process(example, disk / "out")
        assert done.returncode == 1
        assert "no space left" in done.stderr
        assert "Traceback" not in done.stderr
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_file_that_may_not_grow(example, tmp_path):
    """The same where the limit is the process's own, as under ulimit -f or a quota."""
    resource = pytest.importorskip("resource")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = convert_in_a_process(example, tmp_path / "out", preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for a folder that nobody may write to")
def test_an_output_folder_that_may_not_be_written(example):
    done = convert_in_a_process(example, "/proc/out")
    assert done.returncode == 1
    assert "cannot write /proc/out" in done.stderr
    assert "Traceback" not in done.stderr
