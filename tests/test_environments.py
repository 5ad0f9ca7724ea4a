"""Ordinary environments: outputs of every kind, shared folders, small machines, read-only homes."""

import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import fields_of
from click.testing import CliRunner

from benchmarks.engine import run, workers
from benchmarks.engine.setting import Setting
from benchmarks.engine.store import Store, default_store, make_folder, write_csv
from entropic.commands.main import main
from theory import caches, writing
from theory.reading import looks_like_path, read_text, write_json
from theory.writing import clear_parts, is_special, is_stdout, part_name, write_text

ROOT = Path(__file__).parents[1]
EDM = ["schedule", "--method", "edm", "--steps", "3"]
MIXTURE = '{"kind": "mixture", "weights": [1.0], "means": [0.0], "stds": [1.0]}\n'
IS_ROOT = hasattr(os, "getuid") and os.getuid() == 0
NOT_ROOT = pytest.mark.skipif(IS_ROOT, reason="nothing is closed to root")


def entropic(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`python -m entropic` in a process of its own; `env` adds to the environment."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "entropic", *args],
        **{
            "capture_output": True,
            "text": True,
            "errors": "replace",
            "timeout": 300,
            "env": env,
            **options,
        },
    )


def one_line(text: str) -> bool:
    """Whether a text is one line of ours."""
    return text.startswith("entropic: ") and text.count("\n") == 1 and "Traceback" not in text


def named_pipe(path: Path) -> tuple[threading.Thread, list[bytes]]:
    """A thread that reads a new pipe, and the list that it fills."""
    os.mkfifo(path)
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(path.read_bytes()), daemon=True)
    thread.start()
    return thread, got


# ---------------------------------------------------------------------------------------------
# One writer of files


def test_a_link_is_followed_and_its_target_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "real.json", tmp_path / "link.json"
    target.write_text("old")
    target.chmod(0o640)
    before = target.stat().st_ino
    link.symlink_to("second.json")
    (tmp_path / "second.json").symlink_to(Path("far") / "real.json")
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_ino != before
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert [path.name for path in target.parent.iterdir()] == ["real.json"]


def test_a_dangling_link_makes_its_target_and_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("fresh")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "fresh").read_text() == "new"
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ValueError, match=r"a: the file must be writable, got Too many levels"):
        write_text(tmp_path / "a", "new")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_json(path, {"x": 1}),
        lambda path: write_csv(__import__("pandas").DataFrame({"x": [1]}), path),
        lambda path: write_text(path, "text"),
    ],
)
def test_a_pipe_is_written_to_and_stays(write: Any, tmp_path: Path) -> None:
    thread, got = named_pipe(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    write(tmp_path / "link")
    thread.join(10)
    assert got[0].strip()
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_socket_is_written_to_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("line")
        server.listen()
        write_text("line", "text")
        with server.accept()[0] as line:
            assert line.recv(100) == b"text"
    assert stat.S_ISSOCK(Path("line").lstat().st_mode)


@pytest.mark.parametrize(("minor", "reason"), [(3, None), (7, "No space left on device")])
def test_a_device_is_written_to_and_stays(minor: int, reason: str | None, tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "device", 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        (tmp_path / "device").open("wb").close()
    except OSError as error:
        pytest.skip(f"no device can be made: {error}")
    found = CliRunner().invoke(main, [*EDM, "--out", str(tmp_path / "device")])
    assert found.exit_code == (0 if reason is None else 2)
    assert reason is None or (one_line(found.stderr) and reason in found.stderr)
    assert stat.S_ISCHR((tmp_path / "device").lstat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["device"]


@pytest.mark.parametrize("command", [EDM, ["profile", "--toy", "gaussian"]])
def test_every_output_file_may_be_a_pipe(command: list[str], tmp_path: Path) -> None:
    thread, got = named_pipe(tmp_path / "pipe")
    assert CliRunner().invoke(main, [*command, "--out", str(tmp_path / "pipe")]).exit_code == 0
    thread.join(10)
    assert json.loads(got[0])["kind"] == command[0]
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)


@pytest.mark.parametrize("place", ["missing/x.json", "folder", "file/x.json"])
def test_a_place_for_no_file_is_one_line(place: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    found = CliRunner().invoke(main, [*EDM, "--out", str(tmp_path / place)])
    assert found.exit_code == 2
    assert one_line(found.stderr)
    assert "the file must be writable, got " in found.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


@NOT_ROOT
def test_a_file_closed_to_writing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    (tmp_path / "x").chmod(0o444)
    with pytest.raises(ValueError, match="Permission denied"):
        write_text(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "old"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "x").write_text("old")
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(writing.os, name, full)
            with pytest.raises(ValueError, match="x: the file must be writable, got No space left"):
                write_text(tmp_path / "x", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"x": "old"}


def test_new_files_have_the_usual_permissions_and_any_name(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / ("é" * 120), "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / ("é" * 120)).stat().st_mode) == 0o640


def test_text_that_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "a\udcffb é")
    assert (tmp_path / "x").read_bytes() == "a\\udcffb é".encode()


def test_unfinished_files_have_names_of_their_own() -> None:
    names = {part_name("x" * 300) for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) < 200 and f".{os.getpid()}." in name for name in names)
    assert all(name.startswith(".x") and name.endswith(".part") for name in names)


def test_only_what_dead_processes_left_is_cleared(tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    mine, old = part_name("mine"), part_name("left").replace(str(os.getpid()), dead)
    other = ".a.another-host.1.00000000.part"
    for name in (mine, old, other, ".a.77.part", "b"):
        (tmp_path / name).write_text("half")
    fresh = old.replace("left", "fresh")
    for name in (mine, old, other):
        os.utime(tmp_path / name, (time.time() - 3600,) * 2)
    (tmp_path / fresh).write_text("half")
    clear_parts(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([mine, other, fresh, "b"])
    os.utime(tmp_path / other, (0, 0))
    clear_parts(tmp_path)
    assert not (tmp_path / other).exists()


def test_no_module_writes_files_in_a_way_of_its_own() -> None:
    """What the commands write goes through `theory.writing`."""
    own = {"theory/writing.py", "theory/caches.py", "figures/parts/gallery.py"}
    words = (".write_text(", ".write_bytes(", 'open("w', ".to_csv(path", "os.replace(", "np.save(f")
    words += ("savez(path", "savez(file", ".savefig(path", '"wb")', "torch.save(state, path")
    for package in ("theory", "toys", "benchmarks", "figures", "entropic"):
        for path in (ROOT / package).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            if name in own or "acceptance" in name:
                continue
            text = path.read_text(encoding="utf-8").replace("formatter.write_text(", "")
            assert not [word for word in words if word in text], name


# ---------------------------------------------------------------------------------------------
# Standard input and output


def test_a_dash_is_standard_output_and_nothing_else_is_printed() -> None:
    for command in (EDM, [*EDM, "--for", "lines"], [*EDM, "--json"]):
        found = CliRunner().invoke(main, [*command, "--out", "-"])
        assert found.exit_code == 0
        assert json.loads(found.stdout)["kind"] == "schedule"
        assert found.stdout.count("\n") == 1
    found = CliRunner().invoke(main, ["profile", "--toy", "gaussian", "--out", "-"])
    assert json.loads(found.stdout)["kind"] == "profile"


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_the_device_of_standard_output_is_standard_output(place: str, tmp_path: Path) -> None:
    if not os.path.exists(place):
        pytest.skip(f"the system has no {place}")
    (tmp_path / "link").symlink_to(place)
    for name in (place, "link"):
        with (tmp_path / "out").open("wb") as stream:
            done = entropic(*EDM, "--out", name, stdout=stream, capture_output=False, cwd=tmp_path)
        assert done.returncode == 0
        assert json.loads((tmp_path / "out").read_bytes())["kind"] == "schedule"
    assert (tmp_path / "link").is_symlink()


def test_other_descriptors_are_written_to(tmp_path: Path) -> None:
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("the system has no /proc")
    read, write = os.pipe()
    write_text(f"/proc/self/fd/{write}", "one ")
    write_text(f"/dev/fd/{write}", "two")
    os.close(write)
    with open(read) as stream:
        assert stream.read() == "one two"
    assert is_special("/dev/stderr")
    assert not is_special(tmp_path)
    assert not is_special(tmp_path / "new")
    assert not is_stdout("/dev/fd/2")
    assert not is_stdout(None)


def test_every_input_file_may_be_standard_input() -> None:
    runner = CliRunner()
    profile = runner.invoke(main, ["profile", "--toy", "-", "--out", "-"], input=MIXTURE).stdout
    assert json.loads(profile)["kind"] == "profile"
    args = ["schedule", "--profile", "-", "--method", "rescaled", "--steps", "4", "--out", "-"]
    schedule = runner.invoke(main, args, input=profile).stdout
    assert json.loads(schedule)["kind"] == "schedule"
    args = ["kl", "--toy", "gaussian", "--schedule", "-", "--json"]
    assert fields_of(runner.invoke(main, args, input=schedule).stdout)["rows"][0]["value"] > 0
    losses = "sigma,loss\n" + "".join(f"{s},{s * s}\n" for s in (0.1, 0.5, 1.0, 2.0, 4.0))
    args = ["profile", "--losses", "-", "--prediction", "x0", "--json"]
    found = runner.invoke(main, args, input=losses)
    assert len(json.loads(found.stdout)["sigma"]) == 5
    args = ["schedule", "--losses", "-", "--prediction", "x0", "--method", "las",
            "--steps", "3"]  # fmt: skip
    assert runner.invoke(main, args, input=losses).exit_code == 0


def test_standard_input_is_read_once() -> None:
    args = ["kl", "--toy", "-", "--schedule"]
    found = CliRunner().invoke(main, [*args, "-"], input="80\n2\n0.1\n")
    assert found.exit_code == 2
    assert found.stderr == ("entropic: -: standard input must be read once, got it for two files\n")
    assert looks_like_path("-")
    found = CliRunner().invoke(main, [*args, "edm", "--steps", "2"], input=MIXTURE)
    assert found.exit_code == 0, found.stderr


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{"])
def test_bad_standard_input_is_one_line(content: bytes) -> None:
    found = CliRunner().invoke(main, ["kl", "--toy", "-", "--schedule", "edm"], input=content)
    assert found.exit_code == 2
    assert one_line(found.stderr)


def test_closed_standard_streams_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", None)
        with pytest.raises(ValueError, match="standard input must be open, got it closed"):
            read_text("-")
        patch.setattr(sys, "stdout", None)
        with pytest.raises(ValueError, match="-: the file must be writable, got Bad file desc"):
            write_text("-", "text")
    for stream, code, line in ((1, 2, True), (2, 0, False)):
        done = subprocess.run(
            ["sh", "-c", f'"$0" -m entropic toys {stream}>&-', sys.executable],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code
        assert one_line(done.stderr) if line else done.stderr == ""


@pytest.mark.parametrize("args", [["toys"], ["--help"], [*EDM, "--out", "-"], ["kl", "-h"]])
@pytest.mark.parametrize("end", ["full", "broken"])
def test_output_that_goes_nowhere_is_one_line(args: list[str], end: str) -> None:
    if end == "full" and not os.path.exists("/dev/full"):
        pytest.skip("the system has no /dev/full")
    read, write = os.pipe()
    os.close(read)
    with open("/dev/full", "wb") if end == "full" else open(write, "wb") as stream:
        done = entropic(*args, capture_output=False, stdout=stream, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert one_line(done.stderr)


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_an_output_of_few_characters_is_no_error(env: dict[str, str]) -> None:
    done = entropic("kl", "--toy", "naïve", "--schedule", "edm", env=env)
    assert done.returncode == 2
    assert one_line(done.stderr)
    code = (
        "import click, entropic.commands.main as m\n"
        "shown = click.Command('x', callback=lambda: click.echo('caf\\u00e9 \\u03c3'))\n"
        "type(m.main).get_command = lambda *_: shown\n"
        "m.main(['x'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **env}, capture_output=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    # click takes ASCII for a mistake, and prints UTF-8.
    shown = {"latin-1": b"caf\xe9 ?\n"}.get(
        env.get("PYTHONIOENCODING", ""), b"caf\xc3\xa9 \xcf\x83\n"
    )
    assert done.stdout == shown


def test_errors_under_json_are_json() -> None:
    for args in (
        ["kl", "--toy", "gaussian", "--schedule", "nope", "--json"],
        ["nope", "--json"],
        ["toys", "--json", "--nope"],
        ["imagenet", "--json"],
        ["schedule", "--method", "edm", "--steps", "x", "--json"],
    ):
        found = CliRunner().invoke(main, args)
        assert found.exit_code == 2
        assert found.stdout == ""
        assert list(json.loads(found.stderr)) == ["error"]


def test_the_module_is_run_like_the_script(tmp_path: Path) -> None:
    done = entropic("kl", "--nope", cwd=tmp_path)
    assert done.returncode == 2
    assert one_line(done.stderr)
    assert "Usage: entropic kl " in entropic("kl", "--help", cwd=tmp_path).stdout


# ---------------------------------------------------------------------------------------------
# Several runs in one folder


def test_runs_at_once_in_one_folder_all_succeed(tmp_path: Path) -> None:
    def start() -> subprocess.Popen[bytes]:
        args = ["figures", "information_window", "--quick", "--out", "o", "--jobs", "1"]
        return subprocess.Popen(
            [sys.executable, "-m", "entropic", *args],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT), "ENTROPIC_STORE": str(tmp_path / "s")},
        )

    started = [start() for _ in range(3)]
    ends = [(p.communicate(timeout=300)[1], p.returncode) for p in started]
    assert ends == [(b"", 0)] * 3
    assert sorted(path.suffix for path in (tmp_path / "o").iterdir()) == [".csv", ".pdf", ".png"]


def test_writers_of_one_file_never_meet(tmp_path: Path) -> None:
    failed: list[Exception] = []

    def write() -> None:
        for _ in range(50):
            try:
                write_text(tmp_path / "x", "same")
            except ValueError as error:
                failed.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_processes_add_to_one_file_one_after_another(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from theory.writing import alone_in, write_text\n"
        "path = Path(sys.argv[1]) / 'x'\n"
        "for _ in range(100):\n"
        "    with alone_in(path.parent):\n"
        "        write_text(path, path.read_text() + '.')\n"
    )
    (tmp_path / "x").write_text("")
    args = [sys.executable, "-c", code, str(tmp_path)]
    started = [subprocess.Popen(args, cwd=ROOT) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert (tmp_path / "x").read_text() == "." * 300


# ---------------------------------------------------------------------------------------------
# Worker processes

TASKS = [Setting("gaussian", "x", 2, sigmas=(80.0, 1.0, s)) for s in (0.01, 0.1)]


def no_room(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def cannot_start(*_: object, **__: object) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize(
    ("place", "fault", "said"),
    [
        ("_multiprocessing.SemLock", no_room, "/dev/shm has no room for semaphores: No space"),
        ("joblib.Parallel.__call__", no_room, "no worker process can start: No space left"),
        ("joblib.Parallel.__call__", cannot_start, "no worker process can start: can't start new"),
    ],
)
def test_tasks_go_on_in_this_process_where_no_worker_can_start(
    place: str,
    fault: Any,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = run.run_tasks(TASKS, Store(tmp_path / "a"), jobs=1)
    monkeypatch.setattr(place, fault)
    writing.notice.cache_clear()
    assert run.run_tasks(TASKS, Store(tmp_path / "b"), jobs=2) == expected
    lines = [line for line in capsys.readouterr().err.splitlines() if "entropic" in line]
    assert len(lines) == 1
    assert said in lines[0]


def test_other_errors_of_tasks_are_not_taken_for_missing_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Setting, "run", no_room)
    with pytest.raises(ValueError, match=r"Setting must have its files, got .* No space left"):
        run.run_tasks(TASKS, Store(tmp_path), jobs=1)

    def wrong(*_: object, **__: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("joblib.Parallel.__call__", wrong)
    with pytest.raises(RuntimeError, match="a fault"):
        list(workers.in_workers([(len, ("a",))] * 2, 2))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_the_system_ends_is_one_line() -> None:
    with pytest.raises(ValueError, match="worker processes must run to their end, got: A worker"):
        list(workers.in_workers([(_die, ())] * 2, 2))


def running(group: int) -> list[str]:
    """Processes of a group that are alive."""
    listed = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, process_group = status.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(process_group) == group and state != "Z":
            listed.append(status.parent.name)
    return listed


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed in /proc")
@pytest.mark.parametrize(
    ("number", "whole_group", "word"),
    [
        (signal.SIGTERM, False, "terminated"),
        (signal.SIGINT, False, "interrupted"),
        (signal.SIGINT, True, "interrupted"),
    ],
)
def test_a_signal_ends_the_workers_and_keeps_what_has_finished(
    number: signal.Signals, whole_group: bool, word: str, tmp_path: Path
) -> None:
    args = ["claims", "--cases", "300", "--jobs", "2", "--out", "o", "--store", "s"]
    started = subprocess.Popen(
        [sys.executable, "-m", "entropic", *args],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and (
        not list((tmp_path / "s").glob("[!.]*.json")) or len(running(started.pid)) < 3
    ):
        time.sleep(0.05)
    assert started.poll() is None
    (os.killpg if whole_group else os.kill)(started.pid, number)
    error = started.communicate(timeout=60)[1].decode()
    assert started.returncode == 128 + number
    last = error.replace("\r", "\n").strip().splitlines()[-1]
    assert last == f"entropic: {word}; finished tasks are kept in the store"
    assert "Traceback" not in error, error
    deadline = time.monotonic() + 30  # the trackers of resources end with their pipes
    while time.monotonic() < deadline and running(started.pid):
        time.sleep(0.05)
    assert not running(started.pid)
    for path in (tmp_path / "s").glob("[!.]*.json"):
        json.loads(path.read_text())


def test_handlers_of_signals_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert CliRunner().invoke(main, EDM).exit_code == 0
    assert signal.getsignal(signal.SIGTERM) == before


def test_short_memory_and_refused_threads_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for fault, word in ((MemoryError(), "memory must suffice"),
                        (RuntimeError("can't start new thread"), "threads")):  # fmt: skip

        def raised(*_: object, _fault: Exception = fault, **__: object) -> None:
            raise _fault

        monkeypatch.setattr("benchmarks.engine.recommend.recommend", raised)
        found = CliRunner().invoke(main, EDM)
        assert found.exit_code == 2
        assert one_line(found.stderr)
        assert word in found.stderr


# ---------------------------------------------------------------------------------------------
# Folders for what is kept between runs


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """No variable names a folder, temporary files are ours, and every notice is new."""
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "ENTROPIC_STORE", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    before = sys.modules["numba"].config.CACHE_DIR
    for cached in (writing.notice, caches.private_folder):
        cached.cache_clear()
    yield monkeypatch
    sys.modules["numba"].config.CACHE_DIR = before
    for cached in (writing.notice, caches.private_folder):
        cached.cache_clear()


def closed(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Make folders read-only, as far as the suite can tell."""
    is_writable = caches.is_writable

    def check(folder: Path) -> bool:
        return not any(folder.is_relative_to(f) for f in folders) and is_writable(folder)

    monkeypatch.setattr(caches, "is_writable", check)


def test_compiled_code_is_kept_where_something_can_be_written(
    plain: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, home, named = tmp_path / "src" / "k.py", tmp_path / "home", tmp_path / "named"
    source.parent.mkdir()
    home.mkdir()
    plain.setenv("HOME", str(home))
    plain.setenv("NUMBA_CACHE_DIR", str(named))
    assert caches.keep_compiled(str(source))
    assert caches.compiled_folder(str(source)) == named
    plain.delenv("NUMBA_CACHE_DIR")
    assert caches.keep_compiled(str(source))
    assert "NUMBA_CACHE_DIR" not in os.environ
    assert caches.compiled_folder(str(source)) == source.parent / "__pycache__"
    closed(plain, source.parent)
    assert caches.keep_compiled(str(source))
    assert os.environ["NUMBA_CACHE_DIR"] == str(home / ".cache" / "entropic" / "numba")
    assert os.environ["NUMBA_CACHE_DIR"] == sys.modules["numba"].config.CACHE_DIR
    plain.delenv("NUMBA_CACHE_DIR")
    closed(plain, source.parent, home)
    assert caches.keep_compiled(str(source))
    private = tmp_path / "tmp" / f"entropic-{os.getuid()}"
    assert os.environ["NUMBA_CACHE_DIR"] == str(private / "numba")
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert capsys.readouterr().err == ""
    plain.delenv("NUMBA_CACHE_DIR")
    closed(plain, tmp_path)
    for _ in range(2):
        assert not caches.keep_compiled(str(source))
    assert caches.compiled_folder(str(source)) is None
    assert one_line(capsys.readouterr().err)


def test_a_named_folder_that_is_closed_is_one_line(
    plain: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for variable, keep in (
        ("NUMBA_CACHE_DIR", lambda: caches.keep_compiled(str(tmp_path / "k.py"))),
        ("MPLCONFIGDIR", caches.keep_fonts),
    ):
        plain.setenv(variable, str(tmp_path / "file" / "x"))
        keep()
        error = capsys.readouterr().err
        assert one_line(error)
        assert f"{variable} must name a writable folder, got {tmp_path}/file/x; " in error


def test_a_home_that_is_not_there_is_not_made(plain: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for home in (tmp_path / "nothing", ""):
        plain.setenv("HOME", str(home))
        assert caches.user_folder() is None
    plain.setenv("XDG_CACHE_HOME", "relative")
    assert caches.user_folder() is None
    caches.keep_fonts()
    assert Path(os.environ["MPLCONFIGDIR"]).is_relative_to(tmp_path / "tmp")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("kind", ["link", "open", "file", "foreign"])
def test_what_others_put_in_the_place_of_temporary_files_is_not_used(
    kind: str, plain: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "tmp" / f"entropic-{os.getuid()}"
    (tmp_path / "theirs").mkdir(mode=0o700)
    if kind == "link":
        place.symlink_to(tmp_path / "theirs")
    elif kind == "open":
        place.mkdir()
        place.chmod(0o777)
    elif kind == "file":
        place.write_text("")
    else:
        if not IS_ROOT:
            pytest.skip("only root can give a folder away")
        place.mkdir(mode=0o700)
        os.chown(place, 12345, 12345)
    found = caches.private_folder()
    assert found is not None
    assert found != place
    assert stat.S_IMODE(found.stat().st_mode) == 0o700


def test_a_full_disk_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert caches.is_writable(tmp_path / "new")
    if not os.path.exists("/dev/full"):
        pytest.skip("the system has no /dev/full")
    with open("/dev/full", "wb", 0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
        assert not caches.is_writable(tmp_path / "new")


def test_a_read_only_installation_and_home_compile_elsewhere(tmp_path: Path) -> None:
    """With a file in the place of the user's caches, and a copy of the code that is closed."""
    code = (
        "import sys, theory.caches as c\n"
        "inner = c.is_writable\n"
        f"c.is_writable = lambda f: not f.is_relative_to({str(ROOT)!r}) and inner(f)\n"
        "from entropic.commands.main import main\n"
        "main(['doctor'])\n"
    )
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".cache").write_text("")
    (tmp_path / "t").mkdir()
    env = {**os.environ, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "t")}
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        env.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    told = [line for line in done.stderr.splitlines() if "it]" not in line]  # slow: a progress line
    assert (done.returncode, told) == (0, [])
    folder = tmp_path / "t" / f"entropic-{os.getuid()}" / "numba"
    assert f"kernels in {folder}\n" in done.stdout
    assert list(folder.rglob("kernels.*.nbc"))


# ---------------------------------------------------------------------------------------------
# Figures and the store


@pytest.mark.slow
def test_figures_do_not_depend_on_the_users_matplotlib(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(
        "font.family: serif\nfigure.dpi: 33\ntext.usetex: True\nsavefig.bbox: tight\n"
        "axes.facecolor: red\nlines.linewidth: 9\nfont.size: 30\nnonsense: 3\nbackend: TkAgg\n"
    )
    (tmp_path / "bad").write_bytes(b"\xff\xfe")
    args = ["figures", "information_window", "--quick", "--jobs", "1"]
    store = ["--store", str(tmp_path / "store"), "--out"]
    worlds: list[tuple[dict[str, str], Path]] = [
        ({}, ROOT),
        ({"MPLBACKEND": "nonsense"}, ROOT),
        ({"MPLBACKEND": "TkAgg", "MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}, ROOT),
        ({"MATPLOTLIBRC": str(tmp_path / "bad")}, ROOT),
        ({"MPLCONFIGDIR": str(tmp_path)}, tmp_path),
    ]
    found = []
    for i, (env, cwd) in enumerate(worlds):
        out = tmp_path / str(i)
        done = entropic(*args, *store, str(out), env=env, cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
        found.append([path.read_bytes() for path in sorted(out.iterdir())])
    assert len(found[0]) == 3
    assert all(files == found[0] for files in found)


def test_the_users_settings_stay_for_the_users_own_figures(tmp_path: Path) -> None:
    (tmp_path / "rc").write_text("lines.linewidth: 9\n")
    code = (
        "import os, entropic\n"
        "entropic.figure('information_window', 'quick', jobs=1)\n"
        "import matplotlib\n"
        "print(os.environ['MPLBACKEND'], matplotlib.rcParams['lines.linewidth'],"
        " matplotlib.rcParams['backend'])\n"
    )
    env = {**os.environ, "MATPLOTLIBRC": str(tmp_path / "rc"), "MPLBACKEND": "svg"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("svg 9.0 svg\n", "")


def test_the_store_stands_where_it_is_said_to(
    plain: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").mkdir()
    plain.setenv("HOME", str(tmp_path / "home"))
    assert default_store() == tmp_path / "home" / ".cache" / "entropic"
    plain.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_store() == tmp_path / "xdg" / "entropic"
    plain.setenv("ENTROPIC_STORE", str(tmp_path / "named"))
    assert default_store() == tmp_path / "named"
    plain.setenv("ENTROPIC_STORE", "")
    assert default_store() == tmp_path / "xdg" / "entropic"
    assert capsys.readouterr().err == ""
    (tmp_path / "xdg" / "entropic").rmdir()
    (tmp_path / "xdg" / "entropic").write_text("")
    for _ in range(2):
        assert default_store() == tmp_path / "tmp" / f"entropic-{os.getuid()}"
    assert one_line(capsys.readouterr().err)
    closed(plain, tmp_path)
    with pytest.raises(ValueError, match="ENTROPIC_STORE must name a folder"):
        default_store()


def test_commands_share_the_store_whatever_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ["claims", "--only", "A.13", "--cases", "1", "--jobs", "1", "--out"]
    store = ["--store", str(tmp_path / "s")]
    assert CliRunner().invoke(main, [*args, str(tmp_path / "a"), *store]).exit_code == 0
    assert len(list((tmp_path / "s").iterdir())) == 1

    def never(self: object) -> None:
        raise AssertionError("ran again")

    monkeypatch.setattr("benchmarks.claims.run.ClaimTask.run", never)
    assert CliRunner().invoke(main, [*args, str(tmp_path / "b"), *store]).exit_code == 0
    monkeypatch.setenv("ENTROPIC_STORE", str(tmp_path / "s"))
    assert CliRunner().invoke(main, [*args, str(tmp_path / "c")]).exit_code == 0
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == [
        "claims-only.csv",
        "claims-only.md",
    ]


def test_a_result_of_another_task_counts_as_absent(tmp_path: Path) -> None:
    store, key = Store(tmp_path), Setting("gaussian", "edm", 2)
    store.put(key, {"value": 1})
    assert store.get(key) == {"value": 1}
    whole = store.path(key).read_text()
    for damage in (
        whole.replace('"edm"', '"log_snr"'),
        whole.replace('{"value": 1}', "3"),
        "[" * 100_000,
    ):
        store.path(key).write_text(damage)
        assert store.get(key) is None
    store.path(key).unlink()
    store.path(key).mkdir()
    assert store.get(key) is None


def test_a_folder_of_results_is_no_stream() -> None:
    with pytest.raises(ValueError, match="-: the folder must be a path, got standard output"):
        make_folder(Path("-"))
