"""A launched server is never root, and still reads what root reads."""

import os
import subprocess
import sys
from signal import SIGTERM

import pytest

from ingestion_assets.local import launch

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root only")


def run(code: str) -> str:
    line = launch.command([sys.executable, "-c", code], parent_death=SIGTERM)
    return subprocess.check_output(line, text=True).strip()


def test_root_becomes_an_unprivileged_user():
    assert int(run("import os; print(os.geteuid())")) == launch.server_uid() != 0


def test_the_only_capability_left_is_to_pass_permissions():
    code = "print([l.split()[1] for l in open('/proc/self/status') if l.startswith('CapEff')][0])"
    assert int(run(code), 16) == 1 << 1


def test_private_folders_of_root_can_be_read(tmp_path):
    (tmp_path / "file").write_text("inside")
    tmp_path.chmod(0o700)
    assert run(f"print(open({str(tmp_path / 'file')!r}).read())") == "inside"


def test_programs_in_private_folders_of_root_pass_for_executable(tmp_path):
    (tmp_path / "program").write_text("#!/bin/sh\n")
    (tmp_path / "program").chmod(0o700)
    tmp_path.chmod(0o700)
    check = f"import os; print(os.access({str(tmp_path / 'program')!r}, os.X_OK))"
    assert run(check) == "True"
