"""A shared server lives as long as its users, however these end."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ingestion_assets.errors import LocalServiceError
from ingestion_assets.local.file_lock import FileLock
from ingestion_assets.local.shared_process import address_file, join

SERVER = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
open(sys.argv[1], "w").write(str(__import__("os").getpid()))
time.sleep(600)
"""


class Sleeper:
    """A server whose address is its process id."""

    name = "sleeper"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, code: str = SERVER) -> None:
        self.folder, self.code = folder, code

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.code, str(address_file(self.folder))]

    def answers(self, address: str) -> bool:
        return alive(int(address))


USER = """
import signal, sys, time
from pathlib import Path
from ingestion_assets.local.shared_process import join
from ingestion_assets_tests.local.test_shared_process import Sleeper
with join(Sleeper(Path(sys.argv[1]))) as joined:
    print(joined.address, joined.started, flush=True)
    sys.stdin.readline()
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_dead(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


@pytest.fixture
def user(tmp_path):
    """Starts processes that use the server until a line is written to them."""
    processes: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], int, bool]:
        line = [sys.executable, "-c", textwrap.dedent(USER), str(tmp_path)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(line, stdin=pipe, stdout=pipe, text=True)
        processes.append(process)
        assert process.stdout is not None
        pid, started = process.stdout.readline().split()
        return process, int(pid), started == "True"

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_the_server_is_gone_when_its_only_user_has_left(tmp_path):
    with join(Sleeper(tmp_path)) as joined:
        assert joined.started
        assert alive(int(joined.address))
    assert not alive(int(joined.address))


def test_leaving_reaps_the_keeper(tmp_path):
    with join(Sleeper(tmp_path)):
        pass
    assert "defunct" not in subprocess.check_output(
        ["ps", "--ppid", str(os.getpid()), "-o", "args="], text=True
    )


def test_two_processes_share_one_server(user):
    first, pid, started = user()
    second, same, started_again = user()
    assert (started, started_again, pid == same) == (True, False, True)
    first.communicate("leave\n")
    assert alive(pid)
    second.communicate("leave\n")
    assert not alive(pid)


def test_processes_that_start_together_share_one_server(tmp_path):
    line = [sys.executable, "-c", textwrap.dedent(USER), str(tmp_path)]
    pipe = subprocess.PIPE
    users = [subprocess.Popen(line, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    said = [process.stdout.readline().split() for process in users if process.stdout]
    for process in users:
        process.communicate("leave\n")
    assert len({pid for pid, _ in said}) == 1
    assert sorted(started for _, started in said) == ["False", "False", "False", "True"]


def test_a_killed_user_does_not_stop_the_server_of_others(user):
    first, pid, _ = user()
    second, _, _ = user()
    first.kill()
    first.wait()
    time.sleep(0.2)
    assert alive(pid)
    second.communicate("leave\n")
    assert not alive(pid)


def test_the_server_stops_when_its_last_user_is_killed(user):
    process, pid, _ = user()
    process.kill()
    process.wait()
    assert wait_until_dead(pid)


def test_a_killed_server_is_replaced_for_the_next_user(tmp_path, user):
    _, pid, _ = user()
    os.kill(pid, signal.SIGKILL)
    assert wait_until_dead(pid)
    with join(Sleeper(tmp_path)) as joined:
        assert joined.started
        assert int(joined.address) != pid


def test_a_server_dies_with_its_keeper(tmp_path, user):
    _, pid, _ = user()
    keeper = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(keeper, signal.SIGKILL)
    assert wait_until_dead(pid)
    with join(Sleeper(tmp_path)) as joined:
        assert joined.started


def test_the_server_is_not_in_the_terminals_process_group(tmp_path):
    with join(Sleeper(tmp_path)) as joined:
        assert os.getsid(int(joined.address)) != os.getsid(0)


def test_a_forked_child_does_not_keep_the_server(tmp_path):
    code = textwrap.dedent("""
        import os, signal, sys, time
        from pathlib import Path
        from ingestion_assets.local.shared_process import join
        from ingestion_assets_tests.local.test_shared_process import Sleeper
        with join(Sleeper(Path(sys.argv[1]))) as joined:
            child = os.fork()
            if child == 0:
                os.close(1)
                time.sleep(60)
                os._exit(0)
            print(joined.address, child, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    line = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    output = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False, timeout=30)
    pid, child = map(int, output.stdout.split())
    gone = wait_until_dead(pid)
    os.kill(child, signal.SIGKILL)
    assert gone


def test_a_server_that_fails_shows_its_last_words(tmp_path):
    code = "import sys; sys.exit('no disk left')"
    with (
        pytest.raises(LocalServiceError, match=r"ended while starting.*\n.*no disk left"),
        join(Sleeper(tmp_path, code)),
    ):
        pass


def test_a_server_that_never_answers_is_given_up_and_stopped(tmp_path):
    silent = Sleeper(tmp_path, "import time; print('here', flush=True); time.sleep(600)")
    with (
        pytest.raises(LocalServiceError, match=r"does not answer.*\nhere"),
        join(silent, timeout=1.0),
    ):
        pass
    with FileLock(tmp_path / "server.lock") as server:
        assert server.try_exclusive()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what others may not touch")
def test_a_folder_of_somebody_else_is_named(tmp_path):
    tmp_path.chmod(0o711)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from ingestion_assets_tests.local.test_shared_process import Sleeper, join\n"
        "os.setuid(65534)\n"
        "with join(Sleeper(Path(sys.argv[1]))): pass"
    )
    line = [sys.executable, "-c", code, str(tmp_path)]
    result = subprocess.run(line, capture_output=True, text=True, check=False)
    assert "INGESTION_STATE" in result.stderr


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(LocalServiceError, match="INGESTION_STATE"),
        join(Sleeper(tmp_path / "file" / "state")),
    ):
        pass
