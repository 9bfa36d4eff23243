"""The embedded Postgres starts anywhere, for anybody, and survives what happens to it."""

import os
import pwd
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from ingestion_assets.errors import LocalServiceError
from ingestion_assets.local import launch
from ingestion_assets.local.postgres import embedded_postgres

WRITE = "CREATE TABLE t AS SELECT 1 AS n"


def ask(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(query)
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def stranger():
    """Process id of a program that runs as the server's user and is no Postgres."""
    line = launch.command(["/bin/sleep", "600"], parent_death=signal.SIGKILL)
    process = subprocess.Popen(line)
    yield process.pid
    process.kill()
    process.wait()


def test_a_test_database_holds_vectors(database):
    with psycopg.connect(database) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        row = connection.execute("SELECT '[1,2]'::vector <-> '[1,3]'").fetchone()
    assert row == (1.0,)


def test_data_survives_a_stop(state):
    with embedded_postgres(state) as server:
        ask(server.address, WRITE)
    with embedded_postgres(state) as server:
        assert ask(server.address, "SELECT n FROM t") == 1
    assert not (state / "postgres" / "data" / "postmaster.pid").exists()


def test_data_survives_kill_and_a_stale_pid_file(state, stranger):
    pid_file = state / "postgres" / "data" / "postmaster.pid"
    with embedded_postgres(state) as server:
        ask(server.address, WRITE)
        lines = pid_file.read_text().splitlines()
        os.kill(int(lines[0]), signal.SIGKILL)
    pid_file.write_text("\n".join([str(stranger), *lines[1:]]))  # the number has been reused
    with embedded_postgres(state) as server:
        assert server.started
        assert ask(server.address, "SELECT n FROM t") == 1


def test_an_interrupted_creation_is_begun_again(state):
    leftover = state / "postgres" / "data.new"
    leftover.mkdir(parents=True)
    (leftover / "PG_VERSION").write_text("18\n")
    with embedded_postgres(state) as server:
        assert ask(server.address, "SELECT current_database()") == "ingestion"
    assert not leftover.exists()


def test_it_listens_on_a_private_socket_only(state):
    with embedded_postgres(state) as server:
        assert ask(server.address, "SHOW listen_addresses") == ""
        assert ask(server.address, "SHOW unix_socket_permissions") == "0700"
    assert stat.S_IMODE((state / "postgres").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_wal_size", "8GB"),
        ("jit", "off"),
        ("full_page_writes", "on"),
        ("autovacuum", "on"),
        ("server_encoding", "UTF8"),
    ],
)
def test_it_is_tuned_and_safe(postgres, setting, value):
    assert ask(postgres, f"SHOW {setting}") == value


@pytest.mark.parametrize("name", ["d" * 60 + "/" + "e" * 60, "a, b", "ü 100% 'x'", 'q"q'])
def test_any_path_will_do(tmp_path, name):
    with embedded_postgres(tmp_path / name) as server:
        assert ask(server.address, "SELECT 1") == 1


def test_the_url_works_in_sqlalchemy(postgres):
    url = postgres.replace("postgresql://", "postgresql+psycopg2://")
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT 1")) == 1
    engine.dispose()


def test_the_users_postgres_variables_do_not_lead_it_astray(state, monkeypatch):
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGHOST", "db.example.com")
    with embedded_postgres(state) as server:
        assert ask(server.address, "SHOW port") == "5432"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("user", ["root", launch.SERVER_USER])
def test_it_runs_for_root_and_for_others_in_a_private_folder(user):
    with tempfile.TemporaryDirectory() as folder:  # mode 700
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        code = (
            "import sys, psycopg; from pathlib import Path;"
            "from ingestion_assets.local.postgres import embedded_postgres\n"
            "with embedded_postgres(Path(sys.argv[1])) as server:\n"
            "    psycopg.connect(server.address).close()"
        )
        line = [sys.executable, "-c", code, f"{folder}/state"]
        if user != "root":
            line = launch.command(line, parent_death=signal.SIGTERM)
        environment = {"HOME": "", "PATH": os.environ["PATH"]}
        subprocess.run(line, env=environment, check=True)
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="root only")
def test_for_root_the_server_runs_as_nobody(state):
    with embedded_postgres(state):
        pid = (state / "postgres" / "data" / "postmaster.pid").read_text().split()[0]
        assert Path(f"/proc/{pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid


def test_a_damaged_cluster_is_reported_with_the_servers_words(state):
    with embedded_postgres(state):
        pass
    (state / "postgres" / "data" / "PG_VERSION").write_text("9.1\n")
    refused = pytest.raises(LocalServiceError, match="not compatible with this version")
    with refused, embedded_postgres(state):
        pass
