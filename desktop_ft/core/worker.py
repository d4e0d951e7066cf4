"""The killable child: ``python -m desktop_ft.core.worker`` reads one JSON request from standard input and answers with one JSON line.

What it does (a chat template that loops, a file that unpacks without end) cannot be stopped in a thread; this process can be killed,
and takes no more memory than it may. No Qt, no torch. `worker_client` is the other end.

Request: ``{"task": name, "payload": {...}}``. Answer: ``{"ok": ...}`` or ``{"error": {"code", "title", "message", "hint"}}``.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from desktop_ft.core.errors import DesktopFtError

if TYPE_CHECKING:
    from desktop_ft.core.config.defaults import MethodName
    from desktop_ft.core.config.objectives import ObjectiveName
    from desktop_ft.core.data.tokenizer import ModelTokenizer

Payload = Mapping[str, object]
MEMORY_LIMIT_BYTES = 6 * 2**30
"""Address space that the child may take, where the system can limit it."""


def main() -> int:
    """Serve one request.

    Returns:
        Exit status: 0 if an answer was written, an error included.
    """
    answers = _claim_standard_output()
    _limit_memory(MEMORY_LIMIT_BYTES)
    answer = _answer(sys.stdin.buffer.read())
    answers.write(json.dumps(answer, allow_nan=False) + "\n")
    answers.flush()
    return 0


def _answer(request: bytes) -> dict[str, object]:
    try:
        content = cast("Mapping[str, object]", json.loads(request))
        task = TASKS[str(content["task"])]
        return {"ok": task(cast("Payload", content.get("payload") or {}))}
    except DesktopFtError as error:
        return {"error": error.to_dict()}
    except MemoryError:
        limit = f"{MEMORY_LIMIT_BYTES / 2**30:.0f} GiB"
        error = DesktopFtError(
            "worker_out_of_memory",
            "The data take too much memory",
            f"Looking into the data took more than {limit}.",
            "Split the file into smaller ones, or store it as JSON lines, which are read row by row.",
        )
        return {"error": error.to_dict()}


def _inspect(payload: Payload) -> object:
    """The report on a file; what was asked before of the same content is remembered."""
    from desktop_ft.core.data.check import inspect_data
    from desktop_ft.core.data.doctor.cache import remembered
    from desktop_ft.core.data.fingerprint import file_fingerprint

    tokenizer = _tokenizer(payload)
    path, eval_path = _path(payload, "path"), _eval_path(payload)
    question: dict[str, object] = {
        "file": file_fingerprint(path).sha256,
        "suffixes": path.suffixes,
        "eval": None if eval_path is None else [file_fingerprint(eval_path).sha256, eval_path.suffixes],
        "tokenizer": None if tokenizer is None else [tokenizer.sha256, tokenizer.template_sha256],
        **{name: payload.get(name) for name in ("max_length", "format", "columns", "fixes", "objective", "method")},
    }
    return remembered(
        question,
        lambda: inspect_data(
            path,
            tokenizer=tokenizer,
            max_length=_optional_int(payload, "max_length"),
            format_name=_text(payload, "format", "auto"),
            columns=_columns(payload),
            fixes=_texts(payload, "fixes"),
            objective=_objective(payload),
            method=_method(payload),
            eval_path=eval_path,
            progress=_progress(payload),
        ).to_dict(),
    )


def _preview_fix(payload: Payload) -> object:
    """What one more fix would do."""
    from desktop_ft.core.data.fix_preview import ROWS, preview_fix

    return preview_fix(
        _path(payload, "path"),
        _text(payload, "fix", ""),
        format_name=_text(payload, "format", "auto"),
        columns=_columns(payload),
        fixes=_texts(payload, "fixes"),
        eval_path=_eval_path(payload),
        tokenizer=_tokenizer(payload),
        max_length=_optional_int(payload, "max_length"),
        objective=_objective(payload),
        num_rows=_optional_int(payload, "rows") or ROWS,
    ).to_dict()


def _view(payload: Payload) -> object:
    from desktop_ft.core.data.view import view_rows

    tokenizer = _tokenizer(payload)
    if tokenizer is None:
        raise _bad_request("view needs model_dir")
    views = view_rows(
        _path(payload, "path"),
        tokenizer,
        _optional_int(payload, "max_length"),
        _optional_int(payload, "rows") or 10,
        format_name=_text(payload, "format", "auto"),
        columns=_columns(payload),
        assistant_only_loss=payload.get("assistant_only_loss") is not False,
        fixes=_texts(payload, "fixes"),
        only=_indices(payload, "only"),
        objective=_objective(payload),
        eval_path=_eval_path(payload),
    )
    return {
        "rows": views,
        "exact": tokenizer.exact,
        "inexact_reason": tokenizer.inexact_reason,
        "tokenizer_sha256": tokenizer.sha256,
        "template_sha256": tokenizer.template_sha256,
    }


def _check(payload: Payload) -> object:
    """Load the data as the engine will, which refuses whatever training would refuse."""
    from desktop_ft.core.data.dataset import load_training_data
    from desktop_ft.core.data.signals import SIGNALS, WHOLE_ANSWERS

    tokenizer = _tokenizer(payload)
    fraction, seed = payload.get("fraction"), payload.get("seed")
    if tokenizer is None or not isinstance(fraction, int | float) or not isinstance(seed, int):
        raise _bad_request("check needs model_dir, fraction and seed")
    objective = _objective(payload)
    if objective is None:
        raise _bad_request("check needs an objective")
    data = load_training_data(
        _path(payload, "path"),
        _eval_path(payload),
        fraction=float(fraction),
        seed=seed,
        format=_text(payload, "format", "auto"),
        columns=_columns(payload),
        tokenizer=tokenizer,
        max_length=_optional_int(payload, "max_length"),
        assistant_only_loss=payload.get("assistant_only_loss") is not False,
        fixes=_texts(payload, "fixes"),
        signal=SIGNALS[objective],
        whole_answers=objective in WHOLE_ANSWERS,
    )
    return {
        "format": data.format,
        "num_train_examples": len(data.train_examples),
        "num_eval_examples": len(data.eval_examples),
        "longest": data.longest,
        "notes": list(data.notes),
    }


def _convert(payload: Payload) -> object:
    from desktop_ft.core.data.export import convert_file

    converted = convert_file(
        _path(payload, "path"),
        _path(payload, "out"),
        _text(payload, "to", ""),
        format_name=_text(payload, "format", "auto"),
        columns=_columns(payload),
        tokenizer=_tokenizer(payload),
        overwrite=payload.get("overwrite") is True,
    )
    return converted.to_dict()


def _preview(payload: Payload) -> object:
    """The first rows as a format and a mapping of columns read them."""
    from desktop_ft.core.data.preview import preview_rows

    return preview_rows(_path(payload, "path"), _text(payload, "format", "auto"), _columns(payload), _optional_int(payload, "rows") or 3)


def _index(payload: Payload) -> object:
    """Pass over a large file once, so that any of its rows can be shown at once."""
    from desktop_ft.core.data.index import indexed
    from desktop_ft.core.data.source import RowSource

    index = indexed(RowSource(_path(payload, "path")))
    return {"num_rows": index.num_rows, "num_malformed": index.num_malformed, "columns": list(index.columns)}


TASKS: Mapping[str, Callable[[Payload], object]] = {
    "inspect": _inspect,
    "view": _view,
    "check": _check,
    "preview_fix": _preview_fix,
    "convert": _convert,
    "preview": _preview,
    "index": _index,
}
"""Tasks by name. Payload of all: path, eval_path, model_dir, added_tokens, max_length, format, columns, fixes, objective (None for
what the file is made for, but in check); inspect also method and progress_file (written now and then: rows done and rows in all);
preview_fix also fix and rows; view also rows, only and assistant_only_loss; check also fraction, seed and assistant_only_loss. convert
takes path, out, to, format, columns, overwrite, and model_dir for text; preview path, format, columns and rows; index path."""


def _path(payload: Payload, name: str) -> Path:
    value = payload.get(name)
    if not isinstance(value, str):
        raise _bad_request(f"{name} is missing")
    return Path(value)


def _eval_path(payload: Payload) -> Path | None:
    return None if payload.get("eval_path") is None else _path(payload, "eval_path")


def _progress(payload: Payload) -> Callable[[int, int], None] | None:
    """Writes how far the work is to the file that the request names."""
    if payload.get("progress_file") is None:
        return None
    path = _path(payload, "progress_file")

    def report(done: int, total: int) -> None:
        with contextlib.suppress(OSError):
            path.write_text(f"{done} {total}\n", encoding="ascii")

    return report


def _tokenizer(payload: Payload) -> ModelTokenizer | None:
    if payload.get("model_dir") is None:
        return None
    from desktop_ft.core.data.tokenizer import load_tokenizer

    return load_tokenizer(_path(payload, "model_dir"), _texts(payload, "added_tokens"))


def _optional_int(payload: Payload, name: str) -> int | None:
    value = payload.get(name)
    return value if isinstance(value, int) else None


def _text(payload: Payload, name: str, default: str) -> str:
    value = payload.get(name)
    return value if isinstance(value, str) else default


def _objective(payload: Payload) -> ObjectiveName | None:
    """The objective asked about, if one is named."""
    from desktop_ft.core.config.objectives import OBJECTIVES

    value = payload.get("objective")
    if value is not None and value not in OBJECTIVES:
        raise _bad_request(f"there is no objective {value!r}")
    return next((objective for objective in OBJECTIVES if objective == value), None)


def _method(payload: Payload) -> MethodName | None:
    """The method asked about, if one is named."""
    from desktop_ft.core.config.defaults import METHODS

    value = payload.get("method")
    if value is not None and value not in METHODS:
        raise _bad_request(f"there is no method {value!r}")
    return next((method for method in METHODS if method == value), None)


def _columns(payload: Payload) -> dict[str, str]:
    value = payload.get("columns")
    return {str(role): str(name) for role, name in cast("Mapping[str, object]", value).items()} if isinstance(value, Mapping) else {}


def _texts(payload: Payload, name: str) -> tuple[str, ...]:
    value = payload.get(name)
    return tuple(str(item) for item in cast("list[object]", value)) if isinstance(value, list) else ()


def _indices(payload: Payload, name: str) -> frozenset[int] | None:
    value = payload.get(name)
    return frozenset(item for item in cast("list[object]", value) if isinstance(item, int)) if isinstance(value, list) else None


def _bad_request(reason: str) -> DesktopFtError:
    message = f"The request is not complete: {reason}."
    return DesktopFtError("worker_request_invalid", "The data worker was asked wrongly", message, "Report this.")


def _claim_standard_output() -> TextIO:
    """Keep standard output for the answer: whatever else prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


def _limit_memory(limit_bytes: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    except (OSError, ValueError):  # macOS knows the limit but does not let it be set
        return


if __name__ == "__main__":
    sys.exit(main())
