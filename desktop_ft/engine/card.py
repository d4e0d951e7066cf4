"""The model card: what the model is, how it was made and how it was checked, for people (README.md) and programs (desktop_ft_run.yaml).

It embeds the run. Of the person's machine it shows file names only, never folders.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Final, cast

import yaml

from desktop_ft import __version__
from desktop_ft.core.config import DEMO, Draft, RunConfig
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import EvaluationDone, RunStarted, StageStarted, StepDone
from desktop_ft.core.exports import ExportPlan
from desktop_ft.core.files import write_text
from desktop_ft.core.job import ExportRequest
from desktop_ft.core.models import ModelInfo
from desktop_ft.core.runs import RunDir
from desktop_ft.engine.methods.quantization import quantization_of
from desktop_ft.engine.verify import Comparison

if TYPE_CHECKING:
    from desktop_ft.engine.export_reward import ScoreComparison

RECORD_VERSION: Final = 1
RECORD_NAME: Final = "desktop_ft_run.yaml"
_SHOWN_ENVIRONMENT: Final = ("desktop_ft", "python", "libraries", "device", "hashes")
_PATH_SETTINGS: Final = (
    "model.source", "model.adapter", "data.train", "data.eval", "objective.rewards.model", "objective.rlhf.prompts"
)  # fmt: skip


@dataclass(frozen=True)
class CardFacts:
    """Everything the card says.

    Attributes:
        comparison: With the trained model; None for an adapter, which is the trained thing itself.
    """

    run: RunDir
    config: RunConfig
    base: ModelInfo
    request: ExportRequest
    plan: ExportPlan
    comparison: Comparison | ScoreComparison | None

    @property
    def is_reward(self) -> bool:
        """Whether the model scores texts and writes none."""
        return self.config.objective.kind == "reward"


def write_card(out: Path, facts: CardFacts) -> None:
    """Write README.md and desktop_ft_run.yaml into the export.

    Raises:
        DesktopFtError: ``disk_full`` or ``file_not_writable``.
    """
    record = run_record(facts)
    write_text(out / RECORD_NAME, _yaml(record))
    write_text(out / "README.md", card_text(facts, record))


def _yaml(values: Mapping[str, object]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=140)


# --- for programs ---------------------------------------------------------------------------------------------------------------


def run_record(facts: CardFacts) -> dict[str, object]:
    """The content of desktop_ft_run.yaml."""
    trained = facts.plan.trained
    dtype = facts.plan.dtype if facts.request.to == "merged" else None
    return {
        "version": RECORD_VERSION,
        "desktop_ft": __version__,
        "base_model": base_name(facts.config),
        "export": {"to": facts.request.to, "dtype": dtype, "checkpoint": trained.checkpoint},
        "run": portable_config(facts.config),
        "resolved": _resolved(facts),
        "environment": _environment(trained.run),
        "results": results_of(facts.run, trained.checkpoint),
        "verification": _verification(facts),
    }


def _verification(facts: CardFacts) -> dict[str, object] | None:
    comparison = facts.comparison
    if comparison is None:
        return None
    if not isinstance(comparison, Comparison):
        return {"texts": comparison.num_texts, "max_score_difference": comparison.max_difference, "score_spread": comparison.spread}
    return {
        "prompts": comparison.num_probes,
        "positions": comparison.num_positions,
        "top1_agreement": comparison.top1_agreement,
        "mean_kl": comparison.mean_kl,
        "max_kl": comparison.max_kl,
    }


def base_name(config: RunConfig) -> str:
    """The base model without folders: a Hub id, a folder's name, or the demo."""
    return "desktop-ft-demo" if config.model.source == DEMO else _file_name(config.model.source)


def portable_config(config: RunConfig) -> dict[str, object]:
    """run.yaml's values with file names in place of paths."""
    return portable_values(cast("dict[str, object]", config.model_dump(mode="json")))


def portable_values(values: Mapping[str, object]) -> dict[str, object]:
    """A tree as run.yaml has it, with file names in place of paths."""
    result = Draft(values)
    stated = {path: result.get(path) for path in _PATH_SETTINGS if result.is_set(path)}
    return result.with_values({path: _file_name(value) for path, value in stated.items() if isinstance(value, str)}).values()


def _file_name(value: str) -> str:
    windows = PureWindowsPath(value)
    if windows.is_absolute() or "\\" in value:
        return windows.name
    posix = PurePosixPath(value)
    return posix.name if posix.is_absolute() or value.startswith((".", "~")) else value


def _resolved(facts: CardFacts) -> dict[str, object] | None:
    """resolved.yaml in full; paths may stand in its configuration and in the sentences."""
    try:
        value = cast("object", yaml.safe_load(facts.plan.trained.run.resolved_file.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError):
        return None
    if not isinstance(value, dict):
        return None
    values = cast("dict[str, object]", value)
    config = values.get("config")
    if isinstance(config, dict):
        values["config"] = portable_values(cast("dict[str, object]", config))
    return cast("dict[str, object]", _without_folders(values, _folders(facts)))


def _folders(facts: CardFacts) -> list[str]:
    """Folders of this machine that a sentence may mention, longest first."""
    config = facts.config
    stated = Draft(config.model_dump(mode="json"))
    paths = [path for path in map(stated.get, _PATH_SETTINGS) if isinstance(path, str) and path]
    parents = {str(Path(path).parent) for path in paths if Path(path).is_absolute()}
    return sorted({*parents, str(facts.run.path), str(facts.run.path.parent), str(Path.home())} - {"/", "."}, key=len, reverse=True)


def _without_folders(value: object, folders: list[str]) -> object:
    if isinstance(value, dict):
        return {key: _without_folders(item, folders) for key, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_without_folders(item, folders) for item in cast("list[object]", value)]
    if isinstance(value, str):
        for folder in folders:
            value = value.replace(folder + "/", "").replace(folder + "\\", "").replace(folder, "")
    return value


def _environment(run: RunDir) -> dict[str, object]:
    try:
        value = cast("object", json.loads(run.environment_file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
    fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    device = fields.get("device")
    if isinstance(device, dict):  # a card's UUID names the person's computer
        fields["device"] = {name: value for name, value in cast("dict[str, object]", device).items() if name != "uuid"}
    return {name: fields[name] for name in _SHOWN_ENVIRONMENT if name in fields}


def results_of(run: RunDir, checkpoint: int | None = None) -> dict[str, object]:
    """Losses of the run's log, up to the exported step. A step that was done again after a crash counts as it was last.

    Of a run of stages they are those of the stage that the exported step belongs to.
    """
    steps: dict[int, StepDone] = {}
    evaluations: dict[int, float | None] = {}
    started: RunStarted | None = None
    for event in EventTail(run.events_file).read_all():
        match event:
            case StageStarted(first_step=first) if checkpoint is None or first <= checkpoint:
                steps = {step: done for step, done in steps.items() if step >= first}
                evaluations = {step: loss for step, loss in evaluations.items() if step >= first}
            case StageStarted():
                break
            case RunStarted():
                started = event
            case StepDone(step=step) if checkpoint is None or step <= checkpoint:
                steps[step] = event
            case EvaluationDone(step=step) if checkpoint is None or step <= checkpoint:
                evaluations[step] = event.loss
            case _:
                pass
    last = steps[max(steps)] if steps else None
    return {
        "steps": last.step if last else 0,
        "tokens": last.num_tokens if last else 0,
        "train_examples": started.num_train_examples if started else 0,
        "eval_examples": started.num_eval_examples if started else 0,
        "train_loss_first": steps[min(steps)].loss if steps else None,
        "train_loss_last": last.loss if last else None,
        "eval_loss_first": evaluations[min(evaluations)] if evaluations else None,
        "eval_loss_last": evaluations[max(evaluations)] if evaluations else None,
    }


# --- for people -----------------------------------------------------------------------------------------------------------------


def card_text(facts: CardFacts, record: Mapping[str, object]) -> str:
    """The whole README.md."""
    about = (_front_matter(facts), _introduction(facts), _usage(facts))
    parts = (*about, _results(facts, record), _checked(facts), _made_with(record), _embedded(record))
    return "\n".join(part.strip("\n") + "\n" for part in parts if part)


def _front_matter(facts: CardFacts) -> str:
    fields: dict[str, object] = {
        "base_model": base_name(facts.config),
        "library_name": "peft" if facts.request.to == "adapter" else "transformers",
        "pipeline_tag": "text-classification" if facts.is_reward else "text-generation",
        "tags": ["desktop-ft", facts.config.objective.kind, facts.config.method.kind],
    }
    if facts.base.license:
        fields["license"] = facts.base.license
    return f"---\n{_yaml(fields)}---"


def _introduction(facts: CardFacts) -> str:
    what = "A LoRA adapter for" if facts.request.to == "adapter" else "A model fine-tuned from"
    at = "" if facts.plan.trained.checkpoint is None else f" This is its state at step {facts.plan.trained.checkpoint}."
    licence = f" The base model's licence ({facts.base.license}) applies to it." if facts.base.license else ""
    return f"# {facts.config.name}\n\n{what} `{base_name(facts.config)}`, made with Desktop FT {__version__} on one computer.{at}{licence}"


def _usage(facts: CardFacts) -> str:
    folder = facts.request.out.name
    if facts.is_reward:
        return "\n".join(("## Use it", "", "```python", *_usage_of_reward(facts, folder), "```"))
    if facts.request.to == "adapter":
        lines = _usage_of_adapter(facts.config, folder)
    else:
        lines = (
            "from transformers import pipeline",
            "",
            f'chat = pipeline("text-generation", model="{folder}")',
            'print(chat([{"role": "user", "content": "Hello!"}], max_new_tokens=200)[0]["generated_text"][-1]["content"])',
        )
    return "\n".join(("## Use it", "", "```python", *lines, "```"))


_GROW: Final = "base.resize_token_embeddings(max(len(tokenizer), base.get_input_embeddings().num_embeddings))"


def _usage_of_adapter(config: RunConfig, folder: str) -> tuple[str, ...]:
    """On the base as it was trained: in the same 4 bit, with rows for the same tokens."""
    quantization = quantization_of(config)
    how, four_bit = "", ()
    if quantization is not None:
        how = ", quantization_config=four_bit"
        kind, double = quantization.quant_type, quantization.double_quant
        four_bit = (f'four_bit = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="{kind}", bnb_4bit_use_double_quant={double})',)
    return (
        "from peft import PeftModel",
        f"from transformers import AutoModelForCausalLM, AutoTokenizer{', BitsAndBytesConfig' if quantization else ''}",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{folder}")',
        *four_bit,
        f'base = AutoModelForCausalLM.from_pretrained("{base_name(config)}"{how})  # or its folder',
        *((_GROW,) if config.model.added_tokens else ()),
        f'model = PeftModel.from_pretrained(base, "{folder}")',
    )


def _usage_of_reward(facts: CardFacts, folder: str) -> tuple[str, ...]:
    is_adapter = facts.request.to == "adapter"
    source = base_name(facts.config) if is_adapter else folder
    return (
        *(("from peft import PeftModel",) if is_adapter else ()),
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
        "",
        f'model = AutoModelForSequenceClassification.from_pretrained("{source}", num_labels=1){"  # or its folder" if is_adapter else ""}',
        *((f'model = PeftModel.from_pretrained(model, "{folder}")',) if is_adapter else ()),
        f'tokenizer = AutoTokenizer.from_pretrained("{folder}")',
        'chat = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hello. How can I help?"}]',
        'inputs = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=True)',
        "print(float(model(**inputs).logits[0, 0]))  # the higher, the better",
    )


def _table(head: tuple[str, str], rows: Mapping[str, object]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |", *(f"| {name} | {_shown(value)} |" for name, value in rows.items())]
    return "\n".join(lines)


def _shown(value: object) -> str:
    if value is None:
        return "not known"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _results(facts: CardFacts, record: Mapping[str, object]) -> str:
    results = cast("Mapping[str, object]", record["results"])
    rows = {
        "examples learnt from": results["train_examples"],
        "examples held out": results["eval_examples"],
        "optimizer steps": results["steps"],
        "tokens": results["tokens"],
        "training loss, first step": results["train_loss_first"],
        "training loss, last step": results["train_loss_last"],
        "loss on held-out examples, first": results["eval_loss_first"],
        "loss on held-out examples, last": results["eval_loss_last"],
    }
    unit = (
        "Losses are nats per learnt token." if facts.config.objective.kind in {"sft", "pretrain"} else "Losses are those of the objective."
    )
    return f"## Training\n\n{unit}\n\n{_table(('what', 'value'), rows)}"


def _checked(facts: CardFacts) -> str:
    if facts.comparison is None:
        return ""
    comparison = facts.comparison
    intro = "These files were loaded again with plain transformers and compared with the trained model on held-out text."
    if not isinstance(comparison, Comparison):
        scores = {"texts": comparison.num_texts, "largest difference of a score": comparison.max_difference, "spread": comparison.spread}
        return f"## Checked\n\n{intro}\n\n{_table(('what', 'value'), scores)}"
    rows = {
        "texts": comparison.num_probes,
        "predicted tokens": comparison.num_positions,
        "same most likely token": f"{comparison.top1_agreement:.2%}",
        "mean KL divergence, nats": f"{comparison.mean_kl:.2e}",
        "largest KL divergence, nats": f"{comparison.max_kl:.2e}",
    }
    return f"## Checked\n\n{intro}\n\n{_table(('what', 'value'), rows)}"


def _made_with(record: Mapping[str, object]) -> str:
    environment = cast("Mapping[str, object]", record["environment"])
    hashes = cast("Mapping[str, object]", environment.get("hashes") or {})
    libraries = cast("Mapping[str, object]", environment.get("libraries") or {})
    device = cast("Mapping[str, object]", environment.get("device") or {})
    data = cast("Mapping[str, object]", cast("Mapping[str, object]", record["run"])["data"])
    rows = {
        "training data": data.get("train"),
        **{f"SHA-256 of {name.replace('_', ' ')}": f"`{value}`" for name, value in hashes.items()},
        "trained on": device.get("name"),
        "Python": environment.get("python"),
        **libraries,
    }
    return f"## Made with\n\n{_table(('what', 'value'), rows)}"


def _embedded(record: Mapping[str, object]) -> str:
    run = _yaml(cast("Mapping[str, object]", record["run"]))
    resolved = record["resolved"]
    parts = ["## The run", "", "Its settings, to make it again (`run.yaml`):", "", "```yaml", run.rstrip(), "```"]
    if isinstance(resolved, dict):
        text = _yaml(cast("Mapping[str, object]", resolved)).rstrip()
        parts += ["", "Every automatic value and its reason (`resolved.yaml`):", "", "```yaml", text, "```"]
    return "\n".join(parts)
