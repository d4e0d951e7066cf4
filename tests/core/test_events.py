"""Events as lines of JSON: there and back, numbers that are none, and lines from elsewhere."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import abc
from typing import get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop_ft.core.errors import DesktopFtError
from desktop_ft.core.events import EVENT_TYPES, Event, RunFinished, StepDone, WarningRaised, decode_event, encode_event

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN: dict[object, st.SearchStrategy[object]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    str: TEXTS,
    type(None): st.none(),
}


def values_of(annotation: object) -> st.SearchStrategy[object]:
    """Whatever a field may hold."""
    if annotation in PLAIN:
        return PLAIN[annotation]
    if get_origin(annotation) is tuple:
        return st.just(())
    if get_origin(annotation) is abc.Mapping:
        return st.dictionaries(TEXTS, st.floats(allow_nan=False, allow_infinity=False), max_size=3)
    if "Literal" in str(annotation):
        return st.sampled_from(get_args(annotation))
    return st.one_of([values_of(member) for member in get_args(annotation)])


def events_of(kind: type[Event]) -> st.SearchStrategy[Event]:
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name != "kind"}
    return st.builds(kind, **{name: values_of(hint) for name, hint in hints.items()})


EVENTS = st.one_of([events_of(kind) for kind in EVENT_TYPES.values()])


@given(EVENTS)
def test_every_event_comes_back_as_it_was(event: Event) -> None:
    line = encode_event(event)
    assert "\n" not in line
    assert decode_event(line) == event


def test_a_metric_that_is_no_number_is_left_out_and_named() -> None:
    event = StepDone(step=1, epoch=0.1, loss=1.0, metrics={"kl": math.inf, "reward": 0.5})
    read = decode_event(encode_event(event))
    assert isinstance(read, StepDone)
    assert (read.metrics, read.non_finite) == ({"reward": 0.5}, ("metrics.kl",))


@given(st.text())
def test_no_text_is_more_than_no_event(line: str) -> None:
    assert decode_event(line) is None or line.strip().startswith("{")


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_value_in_a_field_gives_an_event_or_none(value: object) -> None:
    for name in ("step", "epoch", "loss", "non_finite", "seq"):
        fields = {"v": 1, "kind": "step", "step": 1, "epoch": 0.5, name: value}
        event = decode_event(json.dumps(fields))
        assert event is None or isinstance(event, StepDone)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_null_and_named(value: float) -> None:
    line = encode_event(StepDone(step=3, epoch=0.1, loss=value, grad_norm=1.0))
    assert json.loads(line)["loss"] is None
    assert json.loads(line)["non_finite"] == ["loss"]
    event = decode_event(line)
    assert isinstance(event, StepDone)
    assert (event.loss, event.grad_norm, event.non_finite) == (None, 1.0, ("loss",))
    assert decode_event(encode_event(event)) == event


def test_unknown_kinds_are_none_and_unknown_fields_are_passed_over() -> None:
    assert decode_event('{"v":1,"kind":"weather","seq":0,"time":0}') is None
    assert decode_event('{"v":1,"kind":"run_finished","status":"stopped","mood":"fine"}') == RunFinished(status="stopped")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        "[]",
        "7",
        "{",
        '{"v":1}',
        '{"v":1,"kind":"step"}',
        '{"v":1,"kind":"step","step":"1","epoch":0.0}',
        '{"v":1,"kind":"step","step":true,"epoch":0.0}',
        '{"v":1,"kind":"step","step":1.5,"epoch":0.0}',
        '{"v":1,"kind":"step","step":null,"epoch":0.0}',
        '{"v":1,"kind":"step","step":1,"epoch":NaN}',
        '{"v":1,"kind":"step","step":1,"epoch":1e999}',
        '{"v":1,"kind":"step","step":9223372036854775808,"epoch":0.0}',
        '{"v":1,"kind":"run_finished","status":"exploded"}',
        '{"v":1,"kind":"phase_changed","phase":"dance"}',
        '{"v":1,"kind":["step"],"step":1,"epoch":0.0}',
        "[" * 100_000,
        '{"v":1,"kind":"step","step":' + "9" * 5000 + ',"epoch":0.0}',
    ],
)
def test_a_line_that_is_no_event_is_none(line: str) -> None:
    assert decode_event(line) is None


def test_half_a_surrogate_pair_becomes_text_that_can_be_written() -> None:
    event = decode_event('{"v":1,"kind":"warning","code":"c","title":"\\ud800","message":"m"}')
    assert isinstance(event, WarningRaised)
    assert event.title == "?"


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(DesktopFtError, match="version 2") as caught:
        decode_event('{"v":2,"kind":"step","step":1,"epoch":0.0}')
    assert caught.value.code == "events_too_new"


def test_every_kind_has_one_name() -> None:
    assert len(EVENT_TYPES) == len(set(EVENT_TYPES.values())) == 19
    assert all(dataclasses.is_dataclass(kind) for kind in EVENT_TYPES.values())
