"""How long an estimate takes, and whether the wizard's memory panel follows a slider: milliseconds, and frames late at 60 a second.

    QT_QPA_PLATFORM=offscreen python benchmarks/estimate_speed.py

One estimate alone (the plan's peak; the whole with what could be changed); then the value of a setting walks across its range in the real
method page, each step drawn before the next: its time is what the window's thread is busy for.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from PySide6.QtWidgets import QApplication

from desktop_ft.core.config import validate
from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.memory import Situation, estimate_in
from desktop_ft.core.models import ModelInfo, model_from_config

FRAME_MS = 1000 / 60
CARD = DeviceFacts("cuda", "NVIDIA GeForce RTX 4090", 24 << 30, 23 << 30, 1 << 30, supports_bf16=True)


def llama_8b() -> ModelInfo:
    """Llama 3.1 8B, from its config.json."""
    return model_from_config(
        {
            "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256,
        },
        "llama-8b",
    )  # fmt: skip


def milliseconds(work: Callable[[], object], times: int) -> list[float]:
    """Processor time of this thread for each of so many calls: other programs do not count."""
    found: list[float] = []
    for _ in range(times):
        started = time.thread_time()
        work()
        found.append((time.thread_time() - started) * 1000)
    return found


def report(name: str, times: list[float]) -> None:
    """One line."""
    ordered = sorted(times)
    late = sum(one > FRAME_MS for one in times)
    at_95 = ordered[int(0.95 * (len(ordered) - 1))]
    print(f"{name:44} median {statistics.median(times):7.2f} ms, 95 % {at_95:7.2f} ms, {late} of {len(times)} late")


def estimates() -> None:
    """The arithmetic alone."""
    config = validate({"model": {"source": "x"}, "data": {"train": "x", "max_length": 2048}, "training": {"micro_batch_size": 2}})
    situation = Situation(llama_8b(), CARD)
    plan = situation.plan(config, situation.choose(config))
    report("peak of a plan", milliseconds(lambda: situation.predict(plan), 200))
    report("estimate", milliseconds(lambda: estimate_in(config, situation, is_brief=True), 100))
    report("estimate with what could be changed", milliseconds(lambda: estimate_in(config, situation), 100))


def slider(app: QApplication) -> None:
    """A setting dragged across its range in the method page with the panel beside it."""
    from desktop_ft.jobs.kept_thread import end_threads
    from desktop_ft.jobs.new_run_model import NewRunModel
    from desktop_ft.ui.wizard.memory_panel import MemoryPanel
    from desktop_ft.ui.wizard.method_page import MethodPage

    model = NewRunModel(CARD)
    model.model = llama_8b()
    model.set_method("lora")
    page, panel = MethodPage(model), MemoryPanel(model)
    panel.set_page("method")
    for widget in (page, panel):
        widget.resize(900, 700)
        widget.show()
    app.processEvents()
    for path, values in {"method.rank": range(1, 129), "data.max_length": range(64, 8257, 64)}.items():
        steps = iter(values)

        def drag(path: str = path, steps: object = steps) -> None:
            model.set(path, next(steps))  # pyright: ignore[reportArgumentType, reportCallIssue]
            app.processEvents()

        report(f"{path} dragged", milliseconds(drag, len(values)))
    model.close()
    end_threads(10)


def main() -> int:
    """Everything."""
    estimates()
    slider(QApplication.instance() or QApplication(sys.argv))  # pyright: ignore[reportArgumentType]
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
