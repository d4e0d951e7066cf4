"""A resolved RunConfig as the arguments that all of TRL's trainers share, every field named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from desktop_ft.engine.objectives.parts import Parts


def common_arguments(parts: Parts) -> dict[str, Any]:
    """Arguments of `transformers.TrainingArguments` for a run; an objective adds its own."""
    config, device, precision = parts.config, parts.device, parts.precision
    training, evaluation = config.training, config.evaluation
    has_eval = bool(parts.data.eval_examples)
    micro = cast("int", training.micro_batch_size)
    return {
        "output_dir": str(parts.store.unsealed),
        "seed": config.seed,
        # batches
        "per_device_train_batch_size": micro,
        "per_device_eval_batch_size": micro,
        "gradient_accumulation_steps": training.global_batch_size // micro,
        "num_train_epochs": training.num_train_epochs,
        "max_steps": training.max_steps if training.max_steps is not None else -1,
        # the optimizer
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.lr_scheduler_type,
        "warmup_steps": training.warmup_steps,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "optim": training.optim,
        # the device
        "use_cpu": device.kind == "cpu",
        "bf16": precision.bf16,
        "fp16": precision.fp16,
        "activation_checkpointing": cast("bool", training.activation_checkpointing),
        "dataloader_pin_memory": device.kind in {"cuda", "rocm"},
        # watching and keeping
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "non_padding",
        "eval_strategy": "steps" if has_eval else "no",
        "eval_steps": cast("int", evaluation.eval_steps),
        "eval_on_start": has_eval and parts.is_new,
        "prediction_loss_only": True,
        "save_strategy": "steps",
        "save_steps": cast("int", config.output.save_steps),
        "save_total_limit": None,
        "report_to": "none",
        "disable_tqdm": True,
    }
