"""The reference of DPO and KTO where it is a model of its own: a frozen copy of the model as the run starts."""

from __future__ import annotations

import copy

from peft import PeftModel
from transformers import PreTrainedModel

from desktop_ft.engine.objectives.parts import Parts


def reference_model(parts: Parts, *, is_precomputed: bool) -> PreTrainedModel | None:
    """The second copy that full fine-tuning needs; None with an adapter, and where the log-probabilities are computed beforehand.

    It is copied from memory, not loaded again: whatever was done to the model since it was loaded (grown vocabulary, formats) is the
    starting point too. A resumed run makes it before the checkpoint's weights are taken.
    """
    if is_precomputed or parts.peft_config is not None or isinstance(parts.model, PeftModel):
        return None
    return copy.deepcopy(parts.model).requires_grad_(False).eval()
