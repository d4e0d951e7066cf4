"""What is set before the libraries are imported: one GPU, no telemetry, no progress bars, none of the known lines that mean nothing.

Must be called before transformers, trl, peft or datasets are imported; it imports none of them.
"""

from __future__ import annotations

import logging
import os
import warnings


def quieten() -> None:
    """Set what the libraries read when they are imported."""
    use_one_gpu()
    os.environ.update(
        HF_HUB_DISABLE_TELEMETRY="1",
        DO_NOT_TRACK="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        TOKENIZERS_PARALLELISM="false",
        TRL_EXPERIMENTAL_SILENCE="1",
        TRANSFORMERS_NO_ADVISORY_WARNINGS="1",
    )
    # On every import without a GPU bitsandbytes 0.50 says that it found no kernels package, in plain LoRA runs too.
    logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(_is_not_about_kernels)
    # PEFT and torch warn about their own calls of each other.
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)


def use_one_gpu() -> None:
    """Let torch see one GPU only, before anything counts them: Trainer would otherwise spread one batch over all of them."""
    for variable in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        visible = os.environ.get(variable)
        if visible is None:
            if variable == "CUDA_VISIBLE_DEVICES":
                os.environ[variable] = "0"
        elif "," in visible:
            os.environ[variable] = visible.split(",")[0]


def _is_not_about_kernels(record: logging.LogRecord) -> bool:
    return "gemm_4bit_forward" not in record.getMessage()


def quieten_libraries() -> None:
    """The part that needs the libraries: their progress bars, and their remarks below a warning."""
    import datasets
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_warning()
    datasets.disable_progress_bars()
