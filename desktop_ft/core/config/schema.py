"""RunConfig: the one value that describes a run. The wizard edits it, ``run.yaml`` stores it, the engine consumes it.

Every field is declared once, here. Names are TRL's, PEFT's and transformers' where the meaning is theirs. ``auto`` is resolved
before the start (``desktop_ft.core.resolve``) and stays ``auto`` in ``run.yaml``.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from desktop_ft.core.config.fields import Section, setting
from desktop_ft.core.config.objectives import ObjectiveConfig
from desktop_ft.core.data.format_names import FormatName

SCHEMA_VERSION: Final = 1
DEMO: Final = "demo"
Auto = Literal["auto"]
PositiveInt = Annotated[int, Field(ge=1)]

DtypeName = Literal["auto", "bfloat16", "float16", "float32"]
SchedulerName = Literal["constant", "constant_with_warmup", "linear", "cosine"]
OptimizerName = Literal[
    "auto", "adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor", "sgd"
]
DataFormatName = Literal["auto", FormatName]
DataFixName = Literal[
    "drop_malformed_rows", "repair_mojibake", "strip_html", "mask_api_keys", "mask_cards", "mask_emails", "mask_phones",
    "drop_empty_answers", "drop_one_word_answers", "drop_mojibake", "drop_html", "drop_refusals",
    "drop_api_keys", "drop_cards", "drop_emails", "drop_phones",
    "drop_tool_calls", "drop_language_mix", "drop_identical_pairs", "drop_swapped_pairs", "drop_label_conflicts", "drop_exact_duplicates",
    "drop_near_duplicates", "drop_leakage", "drop_over_length",
]  # fmt: skip


class ModelConfig(Section):
    """Which model to change."""

    source: str = setting(..., "The model to start from: a folder, a Hugging Face Hub id, or 'demo'.")
    revision: str = setting("main", "Branch, tag or commit on the Hub; a folder ignores it.", advanced=True)
    adapter: str | None = setting(None, "Folder of a LoRA adapter of this model to go on from; its rank and modules stay.", advanced=True)
    dtype: DtypeName = setting(
        "auto",
        "Number format of the weights while training. auto: bfloat16 where the device has it, float16 on older GPUs, float32 on a CPU.",
        advanced=True,
        source="TRL loads float32 unless told; bfloat16 halves the memory of the weights.",
    )
    attention: Literal["auto", "sdpa", "eager"] = setting(
        "auto", "How attention is computed. auto: PyTorch's fused attention (sdpa).", advanced=True, source="transformers' default"
    )
    added_tokens: tuple[str, ...] = setting(
        (), "Special tokens to add to the tokenizer; the embeddings grow and are trained beside the adapter.", advanced=True
    )


class SplitConfig(Section):
    """Which rows are held out to measure the model on text it was not trained on."""

    fraction: float = setting(
        0.05,
        "Share of the rows held out for evaluation when no evaluation file is given. 0: none.",
        ge=0.0,
        lt=1.0,
        source="5 %: enough to see a rise of the loss; identical rows stay on one side.",
    )


class DataConfig(Section):
    """What to learn from."""

    train: str = setting(..., "The file of training examples, or 'demo'.")
    eval: str | None = setting(None, "A file of held-out examples; without one a share of the training file is held out.")
    split: SplitConfig = SplitConfig()
    format: DataFormatName = setting("auto", "How the rows are laid out. auto: recognised from the columns.")
    columns: dict[str, str] = setting({}, "Which column plays which role, such as {prompt: question}. Empty: by name.", advanced=True)
    fixes: tuple[DataFixName, ...] = setting((), "What to leave out or mend when reading; the file itself is never changed.", advanced=True)
    max_length: int = setting(
        1024, "Longest example; what is longer is cut at the end.", unit="tokens", ge=8, le=1_048_576, source="TRL's default"
    )
    packing: Auto | bool = setting(
        "auto",
        "Put several short examples into one row, which wastes no memory on padding. auto: off, as in TRL.",
        advanced=True,
        source="TRL's default is off",
    )
    assistant_only_loss: bool = setting(
        True,
        "Learn only what the assistant says; the questions are read but not learnt.",
        source="Learning to write the questions wastes capacity.",
    )


class QuantizationConfig(Section):
    """How the frozen weights are kept in 4 bit; counts for qlora."""

    quant_type: Literal["nf4", "fp4"] = setting(
        "nf4", "The 16 values that 4 bits stand for.", advanced=True, source="NF4: Dettmers et al. 2023, arXiv 2305.14314, section 3"
    )
    double_quant: bool = setting(
        True, "Keep the scales themselves in 8 bit: 0.4 bit less for each weight.", advanced=True, source="Dettmers et al. 2023, section 3"
    )
    compute_dtype: DtypeName = setting("auto", "Format to compute in. auto: that of the model.", advanced=True)


class MethodConfig(Section):
    """How much of the model to change."""

    kind: Literal["lora", "qlora", "full"] = setting(
        "lora",
        "lora: train a small adapter beside the frozen model. qlora: the same beside a model kept in 4 bit, for the smallest memory. "
        "full: change every weight; the last resort.",
    )
    rank: int = setting(
        16,
        "Size of the adapter: how much it can learn.",
        ge=1,
        le=1024,
        source="16 with every linear layer matches full fine-tuning on small data (Schulman et al. 2025).",
    )
    alpha: float = setting(32.0, "Scale of the adapter; the usual choice is twice the rank.", gt=0.0, advanced=True, source="2 x rank")
    dropout: float = setting(0.0, "Share of the adapter's inputs dropped while training.", ge=0.0, lt=1.0, advanced=True, source="PEFT")
    use_dora: bool = setting(
        True,
        "DoRA: learn direction and size of each weight apart. A little better at small ranks, slower.",
        source="Liu et al. 2024, arXiv 2402.09353",
    )
    use_rslora: bool = setting(
        False,
        "rsLoRA: scale by the root of the rank, for ranks of 64 and more.",
        advanced=True,
        source="Kalajdzievski 2023, arXiv 2312.03732",
    )
    init: Literal["default", "gaussian", "orthogonal", "pissa", "pissa_niter_4", "olora", "eva"] = setting(
        "default",
        "How the adapter starts. pissa and olora start from the weights' own directions, eva from those of the data.",
        advanced=True,
        source="PEFT; PiSSA: Meng et al. 2024, arXiv 2404.02948",
    )
    loraplus_lr_ratio: float | None = setting(
        None,
        "LoRA+: the learning rate of the adapter's B matrices as a multiple of the others'; 16 is usual.",
        ge=1.0,
        le=1000.0,
        advanced=True,
        source="Hayou et al. 2024, arXiv 2402.12354",
    )
    target_modules: Literal["all-linear", "attention"] | tuple[str, ...] = setting(
        "all-linear",
        "Which layers get an adapter: all-linear, attention, or a list of names.",
        advanced=True,
        source="All linear layers: Dettmers et al. 2023, arXiv 2305.14314, section 4",
    )
    modules_to_save: tuple[str, ...] = setting(
        (), "Modules trained whole beside the adapter, such as embed_tokens and lm_head.", advanced=True, source="PEFT"
    )
    quantization: QuantizationConfig = QuantizationConfig()
    num_frozen_layers: int = setting(
        0, "full: so many of the lowest layers, and the embeddings below them, stay as they are.", unit="layers", ge=0, advanced=True
    )
    weight_updates: Literal["auto", "float32", "kahan", "plain"] = setting(
        "auto",
        "full: how updates too small for 16 bits survive. float32: weights in float32, computing in 16 bits, most memory. kahan: bfloat16 "
        "weights that carry along what rounding lost. plain: it is lost; only with kernels: none. auto: kahan for bfloat16.",
        advanced=True,
        source="At 1e-5 a plain bfloat16 weight hardly moves.",
    )


class TrainingConfig(Section):
    """How to train."""

    num_train_epochs: float = setting(
        1.0, "How often every example is seen.", unit="epochs", gt=0.0, le=1000.0, source="TRL: 3; 1 forgets less"
    )
    max_steps: int | None = setting(None, "End after this many optimizer steps; counts before epochs.", unit="steps", ge=1, advanced=True)
    micro_batch_size: Auto | PositiveInt = setting(
        "auto", "Examples that are on the device at once. auto: the largest that fits and divides the global batch.", advanced=True
    )
    global_batch_size: int = setting(16, "Examples per optimizer step, however they are split up.", unit="examples", ge=1, le=65536)
    learning_rate: float = setting(
        2e-4,
        "Size of a step. Too high destroys what the model knows; too low learns nothing.",
        gt=0.0,
        le=1.0,
        source="LoRA 2e-4 (Dettmers et al. 2023), full fine-tuning 1e-5 to 2e-5",
    )
    lr_scheduler_type: SchedulerName = setting("cosine", "How the learning rate falls to the end.", advanced=True)
    warmup_steps: float = setting(
        0.03, "Steps until the learning rate is reached; below 1: a share of all steps.", unit="steps", ge=0.0, advanced=True
    )
    weight_decay: float = setting(0.0, "Pull of the trained weights towards zero.", ge=0.0, le=1.0, advanced=True, source="transformers")
    max_grad_norm: float = setting(
        1.0, "Gradients longer than this are shortened to it. 0: never.", ge=0.0, advanced=True, source="transformers"
    )
    optim: OptimizerName = setting("auto", "The optimizer. auto: fused AdamW.", advanced=True, source="transformers' default")
    activation_checkpointing: Auto | bool = setting(
        "auto",
        "Compute activations again in the backward pass: much less memory, about a third more time. auto: by what fits.",
        advanced=True,
    )
    checkpoint_every_n_layers: int = setting(
        1,
        "With activation checkpointing: only every so many layers are computed again. Larger: faster, more memory.",
        unit="layers",
        ge=1,
        le=1024,
        advanced=True,
        source="transformers",
    )
    offload_checkpoints: bool = setting(
        False,
        "With activation checkpointing: what waits between the layers waits in main memory. Saves memory with long examples, costs time.",
        advanced=True,
        source="transformers",
    )
    kernels: Literal["auto", "none"] = setting(
        "auto", "none: train exactly as stock TRL and PEFT do; every remaining auto takes TRL's default.", advanced=True
    )


class EvaluationConfig(Section):
    """How to watch it."""

    eval_steps: Auto | PositiveInt = setting("auto", "Steps between evaluations. auto: ten over the run.", unit="steps")
    sample_prompts: tuple[str, ...] = setting((), "Prompts that the model answers at every evaluation, so that the change can be read.")
    forgetting: bool = setting(
        True, "Measure the loss on a small general text before and after, and show the change as forgetting.", advanced=True
    )
    sample_max_new_tokens: int = setting(96, "Longest answer to a sample prompt.", unit="tokens", ge=1, le=4096, advanced=True)


class OutputConfig(Section):
    """What to keep."""

    save_steps: Auto | PositiveInt = setting("auto", "Steps between checkpoints. auto: as the evaluations.", unit="steps", advanced=True)
    keep_best: bool = setting(True, "Keep the checkpoint with the lowest evaluation loss besides the newest ones.", advanced=True)
    save_total_limit: int = setting(2, "Checkpoints to keep; the oldest goes first.", ge=1, le=1000, advanced=True)


class RunConfig(Section):
    """One run: what `run.yaml` holds."""

    schema_version: Literal[1] = setting(SCHEMA_VERSION, "Version of this file's layout.", advanced=True)
    name: str = setting("untitled", "What the run is called; names its folder.")
    seed: int = setting(
        42, "Start of every random number: the same seed and settings give the same run.", ge=0, le=2**32 - 1, advanced=True
    )
    model: ModelConfig
    data: DataConfig
    method: MethodConfig = MethodConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    output: OutputConfig = OutputConfig()
