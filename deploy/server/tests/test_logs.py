from __future__ import annotations

from pathlib import Path

from hivemind_server.logs import LogFiles, cut


def test_each_service_has_its_file_and_its_share_of_the_disk(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path, max_bytes=100, max_files=3)
    for number in range(50):
        logs.write("bots", b"%02d %s\n" % (number, b"x" * 16))
    logs.write("auth", b"one\n")
    logs.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["auth.log", "bots.log", "bots.log.1", "bots.log.2"]
    kept = b"".join((tmp_path / name).read_bytes() for name in ("bots.log.2", "bots.log.1", "bots.log")).split(b"\n")
    assert [line[:2] for line in kept if line] == [b"%02d" % number for number in range(35, 50)]
    assert all(path.stat().st_size <= 100 and path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


def test_a_log_is_continued_by_the_next_run(tmp_path: Path) -> None:
    for text in (b"first\n", b"second\n"):
        logs = LogFiles(tmp_path)
        logs.write("bots", text)
        logs.close()
    assert (tmp_path / "bots.log").read_bytes() == b"first\nsecond\n"


def test_a_disk_that_is_full_stops_nothing(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path / "missing")
    logs.write("bots", b"lost\n")
    logs.close()


def test_a_log_that_its_program_writes_itself_is_cut_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "nats.log"
    with path.open("ab", buffering=0) as program:
        program.write(b"x" * 90)
        assert not cut(path, max_bytes=100)
        program.write(b"y" * 20)
        assert cut(path, max_bytes=100)
        program.write(b"goes on\n")

    assert path.read_bytes() == b"goes on\n"
    assert (tmp_path / "nats.log.1").stat().st_size == 110
    assert not cut(tmp_path / "not-there.log")
