"""A run of several stages: RLHF trains a reward model from the pairs, then a policy against it.

Each stage is a run of its own in a folder below, with its own checkpoints and resolved settings, so that a stop between stages or
inside one loses nothing:

    stages/1-reward/    run.yaml, resolved.yaml, checkpoints/, adapter/ or model/ with the score head
    stages/2-policy/    run.yaml, resolved.yaml, checkpoints/

What happens in them is told in the log of the run itself, whose steps count through; the policy becomes the run's result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from desktop_ft.core.config import Draft, RunConfig
from desktop_ft.core.eventlog import EventTail
from desktop_ft.core.events import StageStarted
from desktop_ft.core.runs import Checkpoint, RunDir, create_run, list_checkpoints

StageName = Literal["reward", "policy"]
FOLDERS: Final[Mapping[StageName, str]] = {"reward": "1-reward", "policy": "2-policy"}
FIRST_STAGE: Final = "the reward model of the first stage"
"""What stands for its folder while there is none, in what is planned before the start."""


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Attributes:
        name: What is trained in it.
        run: Its folder; made when the stage begins.
        config: What it trains, as the person stated it for the whole run.
    """

    name: StageName
    run: RunDir
    config: RunConfig

    @property
    def is_done(self) -> bool:
        """Whether its result is saved."""
        return self.run.adapter.is_dir() or self.run.model.is_dir()

    def open(self) -> RunDir:
        """Its folder with its run.yaml, made where there is none."""
        if not self.run.config_file.exists():
            self.run.path.mkdir(parents=True, exist_ok=True)
            create_run(self.run.path, self.config)
        return self.run


def has_stages(config: RunConfig) -> bool:
    """Whether the run is more than one training."""
    return config.objective.kind == "rlhf"


def stages_of(run: RunDir, config: RunConfig) -> tuple[Stage, ...]:
    """The stages of a run in their order; empty for a run of one training.

    Args:
        run: The whole run's folder.
        config: Its configuration.
    """
    if not has_stages(config):
        return ()
    reward = stage_folder(run, "reward")
    return (
        Stage("reward", reward, reward_config(config)),
        Stage("policy", stage_folder(run, "policy"), policy_config(config, str(reward.path))),
    )


def checkpoints_of(run: RunDir) -> list[Checkpoint]:
    """Sealed checkpoints by the run's own count of steps, oldest first; of a run of stages those of every stage."""
    found = list_checkpoints(run)
    for name, before in steps_before(run).items():
        found += [Checkpoint(checkpoint.step + before, checkpoint.path) for checkpoint in list_checkpoints(stage_folder(run, name))]
    return found


def steps_before(run: RunDir) -> Mapping[StageName, int]:
    """Of each stage that has a folder, in their order: how many of the run's steps came before it. Empty for a run of one training."""
    names: list[StageName] = [name for name in FOLDERS if stage_folder(run, name).path.is_dir()]
    if not names:
        return {}
    events = EventTail(run.events_file).read_all()
    first_steps: dict[str, int] = {event.stage: event.first_step for event in events if isinstance(event, StageStarted)}
    return {name: first_steps.get(name, 1) - 1 for name in names}


def training_of(run: RunDir, checkpoint: Checkpoint) -> RunDir:
    """The folder with the settings that a checkpoint was trained with: the run's own, or that of one of its stages."""
    folder = checkpoint.path.parent.parent
    return run if folder == run.path else RunDir(folder)


def stage_folder(run: RunDir, name: StageName) -> RunDir:
    """Where a stage is trained; there before it begins only by name."""
    return RunDir(run.path / "stages" / FOLDERS[name])


def last_stage_config(config: RunConfig) -> RunConfig:
    """What is trained last: of ``rlhf`` the policy, else the run itself."""
    return policy_config(config, FIRST_STAGE) if has_stages(config) else config


def reward_config(config: RunConfig) -> RunConfig:
    """The first stage of ``rlhf``: a reward model from the pairs."""
    rlhf = config.objective.rlhf
    return _changed(
        config,
        {
            "name": f"{config.name}, reward model",
            "objective.kind": "reward",
            "training.learning_rate": rlhf.reward_learning_rate,
            "training.num_train_epochs": rlhf.reward_num_train_epochs,
            "training.global_batch_size": rlhf.reward_global_batch_size,
            "training.max_steps": None,
            "training.micro_batch_size": _dividing(config, rlhf.reward_global_batch_size),
            "evaluation.sample_prompts": [],
        },
    )


def _dividing(config: RunConfig, global_batch_size: int) -> object:
    """The stated micro-batch where it divides the reward model's batch, else auto."""
    micro = config.training.micro_batch_size
    return micro if micro != "auto" and global_batch_size % micro == 0 else "auto"


def policy_config(config: RunConfig, reward_model: str) -> RunConfig:
    """The second stage of ``rlhf``: a policy trained against the reward model.

    Args:
        config: Of the whole run.
        reward_model: The folder of the first stage.
    """
    rlhf = config.objective.rlhf
    prompts = {} if rlhf.prompts is None else {"data.train": rlhf.prompts, "data.eval": None, "data.format": "auto", "data.columns": {}}
    return _changed(
        config,
        {"name": f"{config.name}, policy", "objective.kind": rlhf.policy, "objective.rewards.model": reward_model, **prompts},
    )


def _changed(config: RunConfig, values: Mapping[str, object]) -> RunConfig:
    return Draft(config.model_dump(mode="json")).with_values(values).validated()
