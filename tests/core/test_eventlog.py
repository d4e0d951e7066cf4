"""The log under writers that are killed, disks that are full and readers that come at any moment."""

from __future__ import annotations

import errno
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail, EventWriter
from desktop_ft.core.events import Event, RunFinished, RunStarted, SampleDone, StepDone, WarningRaised, encode_event


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "run" / "events.jsonl"


def write(log: Path, *events: Event) -> None:
    writer = EventWriter(log, clock=lambda: 5.0)
    for event in events:
        writer.write(event)
    writer.close()


def test_events_are_numbered_on_across_writers(log: Path) -> None:
    write(log, RunStarted(pid=1, num_steps=2), StepDone(step=1, epoch=0.5))
    write(log, StepDone(step=2, epoch=1.0))
    events = list(EventTail(log).read_all())
    assert [event.seq for event in events] == [0, 1, 2]
    assert [event.time for event in events] == [5.0] * 3


def test_a_log_that_is_not_there_yet_is_empty(log: Path) -> None:
    tail = EventTail(log)
    assert tail.read() == []
    write(log, RunStarted(pid=1, num_steps=2))
    assert tail.read() == [RunStarted(pid=1, num_steps=2, time=5.0)]
    assert tail.read() == []


def test_half_a_line_waits_for_its_other_half(log: Path) -> None:
    write(log)
    line = encode_event(SampleDone(step=1, index=0, prompt="Grüße", text="日本語")).encode() + b"\n"
    tail = EventTail(log)
    for cut in range(len(line)):
        with log.open("ab") as file:
            file.write(line[cut : cut + 1])
        found = tail.read()
        assert bool(found) == (cut == len(line) - 1)
    assert tail.num_ignored == 0
    assert not tail.has_unfinished_line


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 7))
def test_however_the_bytes_come_the_events_are_the_same(tmp_path_factory: pytest.TempPathFactory, garbage: list[bytes], piece: int) -> None:
    log = tmp_path_factory.mktemp("log") / "events.jsonl"
    lines = [
        encode_event(StepDone(step=step, epoch=0.0)).encode() + b"\n" + b"".join(garbage[step : step + 1]) + b"\n" for step in range(3)
    ]
    data = b"".join(lines)
    tail, found = EventTail(log), list[Event]()
    for start in range(0, len(data), piece):
        with log.open("ab") as file:
            file.write(data[start : start + piece])
        found += tail.read()
    assert [event.step for event in found if isinstance(event, StepDone)][:1] == [0]
    assert found == list(EventTail(log).read_all())


def test_half_a_line_of_a_killed_writer_is_one_bad_line(log: Path) -> None:
    write(log, StepDone(step=1, epoch=0.0))
    with log.open("ab") as file:
        file.write(b'{"v":1,"kind":"step","st')
    write(log, StepDone(step=2, epoch=0.0))
    tail = EventTail(log)
    assert [event.seq for event in tail.read()] == [0, 1]
    assert tail.num_ignored == 1


def test_reading_ends_where_it_is_told_to(log: Path) -> None:
    write(log, StepDone(step=1, epoch=0.0))
    size = log.stat().st_size
    write(log, StepDone(step=2, epoch=0.0))
    tail = EventTail(log)
    assert len(tail.read(size)) == 1
    assert tail.position == size
    assert tail.read(size) == []
    assert len(tail.read()) == 1


def test_a_line_beyond_all_bounds_is_let_go_of(log: Path) -> None:
    write(log)
    with log.open("ab") as file:
        file.write(b"x" * (17 << 20) + b"\n")
    write(log, StepDone(step=1, epoch=0.0))
    tail = EventTail(log)
    assert [event.seq for event in tail.read_all()] == [0]
    assert tail.num_ignored >= 1


def test_a_newer_log_is_not_written_to(log: Path) -> None:
    log.parent.mkdir()
    log.write_text('{"v":2,"kind":"step"}\n', encoding="utf-8")
    with pytest.raises(DesktopFtError, match="newer version"):
        EventWriter(log)


def test_a_full_disk_leaves_one_bad_line_at_most(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = EventWriter(log)
    writer.write(WarningRaised(code="a", title="t", message="m"))
    real = FileIO.write

    class FullDisk(FileIO):
        """Takes ten bytes, then no more."""

        left = 10

        def write(self, data: bytes, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
            if not self.left:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken = real(self, data[: self.left])
            self.left -= taken
            return taken

    full = FullDisk(log, "a")
    monkeypatch.setattr(writer, "_file", full)
    with pytest.raises(DesktopFtError) as caught:
        writer.write(StepDone(step=1, epoch=0.0))
    assert caught.value.code == "disk_full"
    full.left = 1000
    written = writer.write(RunFinished(status="failed"))
    full.close()
    tail = EventTail(log)
    assert list(tail.read_all())[1:] == [written]
    assert (written.seq, tail.num_ignored) == (1, 1)


def test_a_text_with_half_a_surrogate_pair_is_written(log: Path) -> None:
    write(log, SampleDone(step=0, index=0, prompt="p", text="bad \ud83d end"))
    event = EventTail(log).read()[0]
    assert isinstance(event, SampleDone)
    assert event.text == "bad ? end"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(DesktopFtError) as caught:
        EventWriter(tmp_path / "file" / "events.jsonl")
    assert caught.value.code == "file_not_writable"
