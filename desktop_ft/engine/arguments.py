"""A resolved RunConfig as TRL's SFTConfig, every field named."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from trl.trainer.sft_config import SFTConfig

from desktop_ft.core.config import RunConfig
from desktop_ft.core.device import DeviceFacts
from desktop_ft.engine.device import Precision


def training_arguments(
    config: RunConfig, output_dir: Path, device: DeviceFacts, precision: Precision, *, has_eval: bool, is_new: bool
) -> SFTConfig:
    """TRL's arguments for a run.

    Args:
        config: Without any ``auto``.
        output_dir: Where Trainer writes before a checkpoint is sealed.
        device: What trains.
        precision: Autocast.
        has_eval: Whether there are held-out examples.
        is_new: Whether the run starts from its first step; then it is evaluated before.
    """
    training, evaluation, data = config.training, config.evaluation, config.data
    micro = cast("int", training.micro_batch_size)
    packing = cast("bool", data.packing)
    return SFTConfig(
        output_dir=str(output_dir),
        seed=config.seed,
        # what to learn from; core made and cut the ids, so TRL prepares them only to pack
        max_length=data.max_length,
        packing=packing,
        eval_packing=False,
        dataset_kwargs={"skip_prepare_dataset": not packing},
        # batches
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=training.global_batch_size // micro,
        num_train_epochs=training.num_train_epochs,
        max_steps=training.max_steps if training.max_steps is not None else -1,
        # the optimizer
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.lr_scheduler_type,
        warmup_steps=training.warmup_steps,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim=training.optim,
        # the device
        use_cpu=device.kind == "cpu",
        bf16=precision.bf16,
        fp16=precision.fp16,
        activation_checkpointing=cast("bool", training.activation_checkpointing),
        dataloader_pin_memory=device.kind in {"cuda", "rocm"},
        # watching and keeping
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        include_num_input_tokens_seen="non_padding",
        eval_strategy="steps" if has_eval else "no",
        eval_steps=cast("int", evaluation.eval_steps),
        eval_on_start=has_eval and is_new,
        prediction_loss_only=True,
        save_strategy="steps",
        save_steps=cast("int", config.output.save_steps),
        save_total_limit=None,
        report_to="none",
        disable_tqdm=True,
    )
