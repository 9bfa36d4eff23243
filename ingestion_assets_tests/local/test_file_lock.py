"""A lock is held by one process and no child of it."""

import os
import subprocess
import sys

from ingestion_assets.local.file_lock import FileLock


def test_shared_holders_keep_the_exclusive_one_out(tmp_path):
    path = tmp_path / "lock"
    with FileLock(path) as first, FileLock(path) as second, FileLock(path) as third:
        assert first.try_shared()
        assert second.try_shared()
        assert not third.try_exclusive()
        first.release()
        second.release()
        assert third.try_exclusive()
        assert not first.try_shared()


def test_a_started_program_does_not_inherit_it(tmp_path):
    path = tmp_path / "lock"
    with FileLock(path) as lock:
        lock.try_exclusive()
        line = [sys.executable, "-c", "print('here', flush=True); input()"]
        pipe = subprocess.PIPE
        child = subprocess.Popen(line, stdin=pipe, stdout=pipe, close_fds=False)
        assert child.stdout is not None
        child.stdout.readline()
    with FileLock(path) as again:
        free = again.try_exclusive()
    child.communicate(b"\n")
    assert free


def test_closing_twice_does_not_close_somebody_elses_file(tmp_path):
    lock = FileLock(tmp_path / "lock")
    lock.close()
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_RDWR)
    lock.close()
    os.close(other)  # would raise if it were closed already
