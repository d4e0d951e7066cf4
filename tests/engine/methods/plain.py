"""What a person would write without this program: TRL's SFTTrainer on a model's path, and what it logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import BitsAndBytesConfig, PreTrainedModel


def plain_sft(
    model: Path,
    data: Path,
    out: Path,
    lora: LoraConfig,
    *,
    steps: int,
    quantization: BitsAndBytesConfig | None = None,
    loraplus_lr_ratio: float | None = None,
    optim: str = "adamw_torch_fused",
) -> list[dict[str, float]]:
    """The logs of each step, with the settings that ``tests.engine.conftest.DEFAULTS`` gives a run."""
    from datasets import Dataset
    from peft.optimizers import create_loraplus_optimizer
    from transformers import PrinterCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    class Plain(SFTTrainer):
        def create_optimizer(self, model: Any = None) -> Any:  # noqa: ANN401 - as Trainer
            if loraplus_lr_ratio is None:
                return super().create_optimizer(model)
            trained = cast("PeftModel", self.model)
            kind, settings = self.get_optimizer_cls_and_kwargs(self.args, cast("PreTrainedModel", trained))
            self.optimizer = create_loraplus_optimizer(trained, kind, loraplus_lr_ratio=loraplus_lr_ratio, **settings)
            return self.optimizer

    trainer = Plain(
        model=str(model),
        args=SFTConfig(
            output_dir=str(out),
            seed=42,
            max_length=64,
            per_device_train_batch_size=4,
            max_steps=steps,
            learning_rate=1e-3,
            lr_scheduler_type="cosine",
            warmup_steps=0.03,
            optim=optim,
            use_cpu=True,
            bf16=False,
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list([json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]),
        peft_config=lora,
        quantization_config=quantization,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [log for log in trainer.state.log_history if "loss" in log]
