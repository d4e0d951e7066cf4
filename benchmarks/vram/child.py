"""One case in one process: the run's folder, the engine's own work in it, and what it needed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from benchmarks.vram import ghost
from benchmarks.vram.archive import Outcome
from benchmarks.vram.cases import Case
from benchmarks.vram.data import write_data
from benchmarks.vram.meter import Meter, cuda_meter, resident_meter, watching
from desktop_ft.core.config import RunConfig, set_value, validate
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import ErrorRaised, RunFinished
from desktop_ft.core.resolve import load_resolved
from desktop_ft.core.runs import RunDir, create_run

RESOLVED = (
    "model.dtype", "model.attention", "data.packing", "training.micro_batch_size", "training.activation_checkpointing", "training.optim",
)  # fmt: skip
RESULT_FILE = "result.json"


@dataclass(frozen=True)
class Place:
    """Where cases work.

    Attributes:
        folder: Holds models, adapters and the cases' own folders; everything in it can be made again.
        device_kind: ``cuda`` or ``cpu``.
    """

    folder: Path
    device_kind: str

    def model(self, case: Case) -> Path:
        """The folder of the case's model."""
        return ghost.make_folder(case.shape, self.folder / "models" / case.shape.name)

    def case(self, case: Case) -> Path:
        """The case's own folder."""
        return self.folder / "cases" / "".join(letter if letter.isalnum() else "_" for letter in case.id)


def prepare(case: Case, place: Place) -> RunDir:
    """Model, data and run.yaml of a case; needs no device, so the parent may do it."""
    folder = place.case(case)
    shutil.rmtree(folder, ignore_errors=True)
    model = place.model(case)
    train, held_out = write_data(case, model, folder)
    return create_run(folder / "run", _stated(case, model, train, held_out, place))


def _stated(case: Case, model: Path, train: Path, held_out: Path | None, place: Place) -> RunConfig:
    values: dict[str, object] = {"model": {"source": str(model)}, "data": {"train": str(train)}, "name": "memory"}
    settings = case.all_settings
    if case.reward_model:
        settings["objective.rewards.model"] = str(ghost.make_adapter(model, place.folder / "adapters" / case.shape.name))
    if held_out is not None:
        settings["data.eval"] = str(held_out)
    for path, value in settings.items():
        values = set_value(values, path, value)
    return validate(values)


def work(case: Case, place: Place) -> None:
    """Run the prepared case and write what it needed beside it. In a process of its own: afterwards its memory is anyone's guess."""
    run = RunDir(place.case(case) / "run")
    started = time.monotonic()
    result = measure(case, run, place.device_kind)
    result["seconds"] = round(time.monotonic() - started, 2)
    target = place.case(case) / RESULT_FILE
    unfinished = target.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(result, allow_nan=False), encoding="utf-8")
    unfinished.rename(target)


def measure(case: Case, run: RunDir, device_kind: str) -> dict[str, Any]:
    """What the engine needed for this run, as fields of a row; the engine's own errors are a result too."""
    from desktop_ft.engine.__main__ import work_in

    is_cuda = device_kind == "cuda"
    meter = cuda_meter() if is_cuda else resident_meter()
    seen: dict[str, Any] = {}
    at_once = "cuda" if is_cuda and case.config().model.dtype in ("auto", "bfloat16") else "cpu"
    with ghost.random_weights(at_once) as made, _cap(case), _looking_at_data(seen), _saving(case), watching(meter):
        work_in(run.path)
    return {**_told(run), **_peaks(meter, is_cuda=is_cuda), **seen, "weights": "random" if made[0] else "zeros"}


def _peaks(meter: Meter, *, is_cuda: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "allocated_bytes": meter.allocated_bytes,
        "reserved_bytes": meter.reserved_bytes,
        "peaks": {phase: peak.model_dump() for phase, peak in meter.peaks.items() if phase not in ("start", "end")},
    }
    if is_cuda:
        import torch

        free, total = torch.cuda.mem_get_info()
        found["device_now_bytes"] = total - free
    return found


def _told(run: RunDir) -> dict[str, Any]:
    """How the run ended, and with which settings."""
    events = list(EventTail(run.events_file).read_all())
    errors = [event for event in events if isinstance(event, ErrorRaised)]
    finished = [event for event in events if isinstance(event, RunFinished)]
    outcome: Outcome = "completed" if finished and finished[-1].status == "completed" else "failed"
    told: dict[str, Any] = {"outcome": outcome}
    if errors:
        told["outcome"] = "out_of_memory" if errors[-1].code == "out_of_memory" else "failed"
        told["error"] = f"{errors[-1].code}: {errors[-1].message}"[:400]
    if run.resolved_file.is_file():
        config: Any = load_resolved(run.resolved_file).config.model_dump(mode="json")
        told["resolved"] = {path: config[path.split(".")[0]][path.split(".")[1]] for path in RESOLVED}
    return told


@contextmanager
def _looking_at_data(seen: dict[str, Any]) -> Generator[None]:
    """Keep the lengths that the engine itself found."""
    from desktop_ft.engine import train

    load = train.load_examples

    def load_and_look(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - the engine's own signature
        data = load(*arguments, **named)
        seen["longest"] = data.longest
        if data.train:
            seen["num_labelled"] = max(sum(label != -100 for label in example.labels) for example in data.train)
        return data

    cast("Any", train).load_examples = load_and_look
    try:
        yield
    finally:
        cast("Any", train).load_examples = load


@contextmanager
def _cap(case: Case) -> Generator[None]:
    """Let torch reserve so much and no more."""
    if case.cap_bytes is not None:
        import torch

        _, total = torch.cuda.mem_get_info()
        torch.cuda.set_per_process_memory_fraction(min(1.0, case.cap_bytes / total))
    yield


def _saving(case: Case) -> Any:  # noqa: ANN401 - a context manager
    """Leave out writing what the disk would take longest for; the row says so."""
    return nullcontext() if case.saves() else _without_saving()


@contextmanager
def _without_saving() -> Generator[None]:
    from desktop_ft.engine.train import TrainingRun
    from desktop_ft.engine.trainer import RunTrainer

    run, trainer = cast("Any", TrainingRun), cast("Any", RunTrainer)
    kept = run._save, trainer._save_checkpoint

    def nothing(*_: object) -> None:
        return None

    run._save = trainer._save_checkpoint = nothing
    try:
        yield
    finally:
        run._save, trainer._save_checkpoint = kept
