"""Render a model's chat template as transformers does, and say which characters of it the assistant is to learn.

jinja2 is imported here and nowhere else. A template is untrusted code: it runs in jinja's sandbox and sees only plain data, but it can
loop forever, so previews render in the worker (`core.worker`), which can be killed. One thread at a time: compiled templates are shared.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import TypeVar, cast

import jinja2
import jinja2.ext
import jinja2.parser
import jinja2.utils
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from desktop_ft.core.data.known_templates import training_twin
from desktop_ft.core.data.records import Message
from desktop_ft.core.errors import DesktopFtError

Span = tuple[int, int]
_Result = TypeVar("_Result")
_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")


@dataclass(frozen=True)
class Rendered:
    """A rendered conversation.

    Attributes:
        text: The whole of it.
        spans: Start and end (exclusive) of each part that the assistant is to learn, in characters of ``text``.
    """

    text: str
    spans: tuple[Span, ...]


class ChatTemplate:
    """A model's chat template.

    Args:
        source: The jinja source.
        special_tokens: ``bos_token``, ``eos_token`` ... by name, which templates may use.
        control_tokens: The tokenizer's added tokens; they help to find where a turn ends in a template without generation markers.
        tools: The tools that the conversation offers, as a JSON list; empty for none.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str], control_tokens: Iterable[str] = (), tools: str = "") -> None:
        self.source = source
        self._tools = tools
        self.special_tokens = dict(special_tokens)
        self.control_tokens = tuple(sorted((token for token in control_tokens if token.strip()), key=len, reverse=True))
        self.sha256 = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def has_generation_markers(self) -> bool:
        """Whether the template itself says what the assistant is to learn."""
        return _MARKER.search(self.source) is not None

    @cached_property
    def training_twin(self) -> ChatTemplate | None:
        """The marked template that TRL ships for this one, or None."""
        source = training_twin(self.source)
        return None if source is None else ChatTemplate(source, self.special_tokens, self.control_tokens, self._tools)

    def with_tools(self, tools: str) -> ChatTemplate:
        """The same template for a conversation that offers tools."""
        return ChatTemplate(self.source, self.special_tokens, self.control_tokens, tools) if tools != self._tools else self

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = False) -> str:
        """The conversation as the model reads it.

        Raises:
            DesktopFtError: ``template_invalid`` or ``template_refused``.
        """
        return self._guarded(lambda: _compiled(self.source).template.render(self._variables(messages, add_generation_prompt)))

    def render_with_marked_spans(self, messages: Sequence[Message]) -> Rendered:
        """The conversation with the spans of the template's own generation markers, empty if it has none.

        Raises:
            DesktopFtError: ``template_invalid`` or ``template_refused``.
        """
        return self._guarded(lambda: _compiled(self.source).render_tracked(self._variables(messages, False)))

    def render_with_assistant_spans(self, messages: Sequence[Message]) -> Rendered:
        """The conversation with what the assistant is to learn: its words and the token that ends its turn.

        With generation markers the spans are theirs, as transformers has them. Without, `spans.derive` finds them.

        Raises:
            DesktopFtError: ``template_invalid``, ``template_refused``, ``template_spans_unknown``.
        """
        if self.has_generation_markers:
            return self.render_with_marked_spans(messages)
        from desktop_ft.core.data.spans import derive  # spans renders through this class

        return derive(self, messages)

    def _variables(self, messages: Sequence[Message], add_generation_prompt: bool) -> dict[str, object]:
        return {
            **self.special_tokens,
            "messages": [{"role": message.role, "content": message.content, **message.fields()} for message in messages],
            "tools": json.loads(self._tools) if self._tools else None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }

    def _guarded(self, render: Callable[[], _Result]) -> _Result:
        try:
            return render()
        except jinja2.TemplateSyntaxError as error:
            raise DesktopFtError(
                "template_invalid",
                "The model's chat template is not valid",
                f"Line {error.lineno}: {error.message}",
                "Use another copy of the model, or mend its chat_template.jinja.",
            ) from error
        except RecursionError as error:
            raise _refused("it calls itself without end") from error
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError, ArithmeticError, LookupError) as error:
            raise _refused(str(error) or type(error).__name__) from error


def _refused(reason: str) -> DesktopFtError:
    return DesktopFtError(
        "template_refused",
        "The model's chat template refuses a conversation",
        f"The template says: {reason}",
        "Many templates want user and assistant to take turns, starting with the user, and some know no system message.",
    )


class _AssistantTracker(jinja2.ext.Extension):
    """The ``{% generation %}`` tag: renders its body and notes where it lies, as transformers counts it."""

    tags = {"generation"}  # noqa: RUF012 (jinja reads and types it so)

    def __init__(self, environment: jinja2.Environment) -> None:
        super().__init__(environment)
        self.blocks: list[str] | None = None
        self.spans: list[Span] = []
        environment.extend(assistant_tracker=self)

    def parse(self, parser: jinja2.parser.Parser) -> nodes.Node:
        """Turn the tag and its body into a call of `mark`."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("mark"), [], [], body).set_lineno(line)

    def mark(self, caller: Callable[[], str]) -> str:
        """Render the body; positions count what the template has yielded so far."""
        text = caller()
        if self.blocks is not None:
            start = sum(len(block) for block in self.blocks)
            self.spans.append((start, start + len(text)))
        return text


@dataclass(frozen=True)
class _Compiled:
    template: jinja2.Template
    tracker: _AssistantTracker

    def render_tracked(self, variables: Mapping[str, object]) -> Rendered:
        self.tracker.blocks, self.tracker.spans = [], []
        try:
            for block in self.template.generate(variables):
                self.tracker.blocks.append(block)
            return Rendered("".join(self.tracker.blocks), tuple(self.tracker.spans))
        finally:
            self.tracker.blocks, self.tracker.spans = None, []


class _PlainDict:
    """``dict(...)`` for templates, without the methods of the real type."""

    def __call__(self, *args: Iterable[tuple[str, object]], **kwargs: object) -> dict[str, object]:
        return dict(*args, **kwargs)

    def fromkeys(self, keys: Iterable[str], value: object = None) -> dict[str, object]:
        """As ``dict.fromkeys``."""
        return dict.fromkeys(keys, value)


@lru_cache(maxsize=8)
def _compiled(source: str) -> _Compiled:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_AssistantTracker, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _tojson
    helpers: dict[str, object] = {
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
        "dict": _PlainDict(),
        "namespace": _Namespace,
    }
    cast("dict[str, object]", environment.globals).update(helpers)
    tracker = cast("_AssistantTracker", vars(environment)["assistant_tracker"])
    return _Compiled(environment.from_string(source), tracker)


class _Namespace(jinja2.utils.Namespace):
    """jinja's namespace without underscored attributes, which lead out of the sandbox."""

    def __init__(*args: object, **kwargs: object) -> None:  # ``namespace(self=...)`` must stay possible
        values: dict[str, object] = dict(*cast("tuple[Mapping[str, object]]", args[1:]), **kwargs)
        for name in values:
            _check_name(name)
        jinja2.utils.Namespace.__init__(cast("jinja2.utils.Namespace", args[0]), values)

    def __setitem__(self, name: str, value: object) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: str) -> None:
    if name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace cannot hold the underscored name {name!r}")


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without the HTML escapes of jinja's own filter."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)  # noqa: DTZ005 (templates mean the local date, as transformers has it)
