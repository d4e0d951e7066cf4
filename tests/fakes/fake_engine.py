"""A scripted engine without torch: the same folder, lock, events, control files and checkpoints as the real one.

Run by the launcher with ``DESKTOP_FT_ENGINE=tests.fakes.fake_engine``. What it does is in ``fake.json`` in the folder (the fields of
`Script`), or in ``DESKTOP_FT_FAKE_SCRIPT`` as JSON text for folders without that file. A folder with ``job.json`` is an export.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, cast

from desktop_ft.core.control import Control, read_controls
from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.eventlog import EventTail, EventWriter
from desktop_ft.core.events import (
    CheckpointSaved,
    ControlDone,
    ErrorRaised,
    EvaluationDone,
    Event,
    Exported,
    PhaseChanged,
    Progress,
    RunFinished,
    RunStarted,
    SampleDone,
    StepDone,
    Verified,
    WarningRaised,
    encode_event,
)
from desktop_ft.core.processes import mark_of
from desktop_ft.core.runs import RunDir, release_lock, sound_checkpoints, take_lock, write_manifest

SCRIPT_FILE: Final = "fake.json"
SCRIPT_VARIABLE: Final = "DESKTOP_FT_FAKE_SCRIPT"
SAMPLE_PROMPT: Final = "Say hello."


@dataclass(frozen=True)
class Script:
    """What the engine does.

    Attributes:
        start_seconds: Time before the lock is taken, as imports take.
        die_at_step: End there, as ``die_how`` says; only in the first session unless ``die_always``. 0: before the lock is taken.
        die_how: ``exception`` (told, failed), ``exit`` (code 3 without a word), ``kill`` (SIGKILL), ``segfault``.
        half_line_at_step: Write this step's line in two halves, ``half_line_seconds`` apart; the process may be killed between them.
        stop_seconds: How long saving after a stop takes.
    """

    num_steps: int = 10
    step_seconds: float = 0.01
    start_seconds: float = 0.0
    eval_every: int = 5
    save_every: int = 5
    die_at_step: int | None = None
    die_how: str = "exception"
    die_always: bool = False
    half_line_at_step: int | None = None
    half_line_seconds: float = 0.3
    garbage_at_step: int | None = None
    nan_at_step: int | None = None
    newer_version_at_step: int | None = None
    ignore_stop: bool = False
    stop_seconds: float = 0.0
    prints: str = "loading the model\n"
    checkpoint_files: dict[str, str] = field(default_factory=lambda: {"adapter.bin": "weights" * 10})


def loss_at(step: int) -> float:
    """The loss that every run has at a step, so that a resumed run's curve is known."""
    return 0.5 + 2.0 * 0.9**step


def read_script(folder: Path) -> Script:
    path = folder / SCRIPT_FILE
    text = path.read_text(encoding="utf-8") if path.is_file() else os.environ.get(SCRIPT_VARIABLE, "{}")
    values = cast("dict[str, object]", json.loads(text))
    unknown = set(values) - {known.name for known in fields(Script)}
    assert not unknown, unknown
    return Script(**values)  # pyright: ignore[reportArgumentType]


class FakeEngine:
    def __init__(self, run: RunDir, script: Script) -> None:
        self.run = run
        self.script = script
        self.is_first = not run.events_file.exists()
        self.writer = EventWriter(run.events_file)
        self.last_control = 0
        self.started = time.monotonic()

    def write(self, event: Event) -> None:
        self.writer.write(event)

    # --- training ----------------------------------------------------------------------------------------------------

    def train(self) -> None:
        script, start_step = self.script, self.resume_step()
        pid = os.getpid()
        self.write(RunStarted(pid=pid, num_steps=script.num_steps, start_step=start_step, device="Fake device", device_bytes=8 << 30))
        self.write(PhaseChanged(phase="load", detail="Loading the model"))
        self.write(Progress(phase="load", done=1, total=1))
        if start_step == 0:
            self.evaluate(0)
        self.write(PhaseChanged(phase="train", detail="Training"))
        for step in range(start_step + 1, script.num_steps + 1):
            self.do_step(step)
            self.write_odd_things(step)
            if script.eval_every and step % script.eval_every == 0:
                self.evaluate(step)
            if script.save_every and step % script.save_every == 0:
                self.save(step)
            if self.obey(step):
                self.finish("stopped", step)
                return
        self.save(script.num_steps)
        self.finish("completed", script.num_steps)

    def resume_step(self) -> int:
        for checkpoint in sound_checkpoints(self.run):
            return checkpoint.step
        return 0

    def do_step(self, step: int) -> None:
        time.sleep(self.script.step_seconds)
        self.die_if_due(step)
        event = StepDone(
            step=step,
            epoch=step / self.script.num_steps,
            loss=float("nan") if step == self.script.nan_at_step else loss_at(step),
            grad_norm=1.0 / step,
            learning_rate=1e-4,
            tokens_per_second=1000.0,
            num_tokens=100 * step,
            memory_bytes=(1 << 30) + step,
            seconds=self.script.step_seconds,
        )
        if step == self.script.half_line_at_step:
            self.write_in_halves(event)
        else:
            self.write(event)

    def write_in_halves(self, event: Event) -> None:
        line = encode_event(event) + "\n"
        for part in (line[:25], line[25:]):
            with self.run.events_file.open("ab") as file:
                file.write(part.encode("utf-8"))
            time.sleep(self.script.half_line_seconds)

    def write_odd_things(self, step: int) -> None:
        if step == self.script.garbage_at_step:
            self.append_raw(b'not json\n\xff\xfe\x00\n{"v":1,"kind":"weather","seq":0}\n{"v":1,"kind":"step","step":"x","epoch":0}\n[]\n')
            self.write(WarningRaised(code="odd", title="Odd", message="Garbage was written."))
        if step == self.script.newer_version_at_step:
            self.append_raw(b'{"v":2,"kind":"step"}\n')

    def append_raw(self, data: bytes) -> None:
        with self.run.events_file.open("ab") as file:
            file.write(data)

    def evaluate(self, step: int) -> None:
        self.write(EvaluationDone(step=step, loss=loss_at(step) + 0.1, num_examples=8, seconds=0.001))
        self.write(SampleDone(step=step, index=0, prompt=SAMPLE_PROMPT, text=f"hello after {step} steps"))

    def save(self, step: int) -> None:
        folder = self.run.checkpoint(step)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.script.checkpoint_files.items():
            (folder / name).write_text(text, encoding="utf-8")
        num_bytes = write_manifest(folder, step)
        self.write(CheckpointSaved(step=step, path=folder.relative_to(self.run.path).as_posix(), num_bytes=num_bytes))

    # --- requests ----------------------------------------------------------------------------------------------------

    def obey(self, step: int) -> bool:
        """Answer new requests; whether to stop."""
        stop = False
        for control in read_controls(self.run.path, self.last_control):
            self.last_control = control.number
            stop = self.obey_one(control, step) or stop
        return stop

    def obey_one(self, control: Control, step: int) -> bool:
        if control.kind == "stop" and self.script.ignore_stop:
            return False
        if control.kind == "sample":
            self.evaluate(step)
        if control.kind in {"save", "stop"}:
            self.save(step)
        self.write(ControlDone(number=control.number, control=control.kind))
        if control.kind == "stop":
            time.sleep(self.script.stop_seconds)
        return control.kind == "stop"

    # --- ends --------------------------------------------------------------------------------------------------------

    def finish(self, status: str, step: int) -> None:
        assert status in {"completed", "stopped"}
        seconds = time.monotonic() - self.started
        self.write(RunFinished(status="completed" if status == "completed" else "stopped", step=step, seconds=seconds))

    def die_if_due(self, step: int) -> None:
        if step == self.script.die_at_step and (self.is_first or self.script.die_always):
            die(self.script.die_how)

    def fail(self, error: Exception) -> None:
        self.write(
            ErrorRaised(
                code="fake_failure",
                title="The fake engine failed",
                message=str(error),
                hint="Try again.",
                traceback=traceback.format_exc(),
            )
        )
        self.write(RunFinished(status="failed"))

    # --- exporting ---------------------------------------------------------------------------------------------------

    def export(self) -> None:
        self.write(RunStarted(pid=os.getpid(), num_steps=0))
        self.write(PhaseChanged(phase="export", detail="Merging"))
        for shard in range(1, 4):
            time.sleep(self.script.step_seconds)
            self.die_if_due(shard)
            self.write(Progress(phase="export", done=shard, total=3))
            if self.obey(shard):
                self.finish("stopped", 0)
                return
        self.write(Exported(path=str(self.run.path / "merged"), num_bytes=1000))
        verified = Verified(num_prompts=5, top1_agreement=1.0, mean_kl=0.001, max_kl=0.01, chat_template_equal=True, stop_token_ok=True)
        self.write(verified)
        self.finish("completed", 0)


def die(how: str) -> None:
    """End in one of the ways in which training processes end."""
    print("about to die:", how, flush=True)  # what a library prints goes to console.log
    if how == "exception":
        raise RuntimeError("the script says so")
    if how == "exit":
        os._exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
    raise AssertionError(how)


def no_core_dump() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(folder: Path) -> int:
    no_core_dump()
    run = RunDir(folder)
    script = read_script(folder)
    print(script.prints, end="", flush=True)  # as above
    time.sleep(script.start_seconds)
    if script.die_at_step == 0 and (script.die_always or not EventTail(run.events_file).read()):
        die(script.die_how)
    mark = mark_of(os.getpid())
    assert mark is not None
    try:
        take_lock(run, mark)
    except DesktopFtError as error:
        print(error, flush=True)  # as above
        return 4
    engine = FakeEngine(run, script)
    try:
        if (folder / "job.json").is_file():
            engine.export()
        else:
            engine.train()
        return 0
    except RuntimeError as error:
        engine.fail(error)
        return 1
    finally:
        release_lock(run)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
