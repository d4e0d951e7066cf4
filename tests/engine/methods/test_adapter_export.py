"""An adapter to take away works with plain transformers and PEFT, as its card says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from desktop_ft.core.device import DeviceFacts
from desktop_ft.core.job import ExportRequest, create_job
from desktop_ft.core.runs import RunDir
from desktop_ft.engine.jobs import run_job
from desktop_ft.engine.load import load_hf_tokenizer
from desktop_ft.engine.merge import FourBit, load_with_adapter
from desktop_ft.engine.methods.quantization import quantization_of
from tests.engine.conftest import NewRun
from tests.engine.helpers import work

CASES: dict[str, dict[str, object]] = {
    "qlora, added tokens": {"method.kind": "qlora", "model.added_tokens": ("<|note|>",)},
    "pissa": {"method.init": "pissa"},
}


@pytest.mark.parametrize("case", list(CASES))
def test_the_card_of_an_adapter_can_be_followed(
    case: str, tiny: Path, pairs: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"model.source": str(tiny), "data.train": str(pairs), "training.max_steps": 3, "evaluation.forgetting": False}
    run: RunDir = new_run("run", {**settings, "training.learning_rate": 1e-2, **CASES[case]})
    assert work(run) == 0
    out = run.exports / "adapter"
    assert run_job(create_job(run, ExportRequest(run.path, "adapter", out)).path) == 0

    code = (out / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(out.parent)
    found: dict[str, Any] = {}
    exec(code.replace(f'"{tiny.name}"', f'"{tiny}"'), found)  # noqa: S102 - the card is ours
    assert len(found["tokenizer"]) == len(load_hf_tokenizer(tiny, run.config().model.added_tokens))
    ids = torch.arange(4, 40)[None]
    quantization = quantization_of(run.config())
    four_bit = FourBit(quantization, DeviceFacts("cpu", "CPU", 0, 0)) if quantization else None
    trained = load_with_adapter(tiny, run.adapter, "float32", four_bit)
    with torch.no_grad():
        theirs, ours = found["model"].train()(input_ids=ids).logits, trained(input_ids=ids).logits
        assert (ours - _without_adapter(trained, ids)).abs().max() > 0.01
    assert torch.allclose(theirs, ours, atol=1e-4)


def _without_adapter(model: Any, ids: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - PEFT's context
    with model.disable_adapter():
        return model(input_ids=ids).logits
