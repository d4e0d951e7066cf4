"""The table of runs over run folders told by their files alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from desktop_ft.core.run_summary import RunSummary
from desktop_ft.core.workspace import Workspace
from desktop_ft.jobs.runs_service import RunsService
from desktop_ft.ui.runs_page import RunsPage
from tests.helpers.synthetic_run import story
from tests.ui.window.conftest import MakeRun

STATES = ("completed", "stopped", "failed", "crashed")
MakePage = Callable[[], RunsPage]


@pytest.fixture
def make_page(workspace: Workspace, qtbot: QtBot) -> Iterator[MakePage]:
    """A shown page after the service's first scan."""
    services: list[RunsService] = []

    def make() -> RunsPage:
        service = RunsService(workspace)
        services.append(service)
        page = RunsPage(service)
        qtbot.addWidget(page)
        page.resize(1080, 700)
        page.show()
        expected = len(list(workspace.runs.glob("*"))) if workspace.runs.is_dir() else 0
        service.refresh()
        qtbot.waitUntil(lambda: len(service.runs()) == expected, timeout=10_000)
        return page

    yield make
    for service in services:
        assert service.shutdown()


@pytest.fixture
def page(make_page: MakePage, make_run: MakeRun) -> RunsPage:
    for state in STATES:
        make_run(state, f"support {state}")
    return make_page()


def names(page: RunsPage) -> list[str]:
    """First column from top to bottom."""
    model = page.table.model()
    return [str(model.index(line, 0).data()) for line in range(model.rowCount())]


def cell(page: RunsPage, name: str, column: int) -> str:
    model = page.table.model()
    return str(model.index(names(page).index(name), column).data(Qt.ItemDataRole.AccessibleTextRole))


def choose(page: RunsPage, name: str) -> RunSummary:
    page.table.selectRow(names(page).index(name))
    return cast("RunSummary", page.table.current_row())


def test_a_row_says_what_a_run_is_and_became(page: RunsPage) -> None:
    assert [cell(page, "support completed", column) for column in range(7)] == [
        "Name: support completed",
        "Model: Qwen3-8B",
        "Method: DoRA, rank 16",
        "Objective: SFT",
        "Status: Finished",
        f"Loss: {story(200).loss[-1]:.3f}",
        "Eval loss: 1.130",
    ]
    assert [cell(page, f"support {state}", 4) for state in STATES[1:]] == ["Status: Stopped, kept", "Status: Failed", "Status: Crashed"]


@pytest.mark.parametrize(
    ("index", "expected"),
    [(1, set[str]()), (2, {"support completed"}), (3, {"support stopped"}), (4, {"support failed", "support crashed"})],
)
def test_states_can_be_chosen(page: RunsPage, index: int, expected: set[str]) -> None:
    page.states.setCurrentIndex(index)
    assert set(names(page)) == expected
    page.states.setCurrentIndex(0)
    assert len(names(page)) == 4


@pytest.mark.parametrize(("words", "found"), [("STOP", 1), ("qwen3", 4), ("rank 16", 4), ("no such run", 0)])
def test_search_looks_at_name_model_and_method(page: RunsPage, words: str, found: int) -> None:
    page.search.setText(words)
    assert len(names(page)) == found


def test_headings_sort(page: RunsPage) -> None:
    header = page.table.horizontalHeader()
    header.sectionClicked.emit(0)
    assert names(page) == sorted(names(page))
    header.sectionClicked.emit(0)
    assert names(page) == sorted(names(page), reverse=True)


def test_enter_opens_the_chosen_run(page: RunsPage, qtbot: QtBot) -> None:
    choose(page, "support failed")
    with qtbot.waitSignal(page.run_opened, timeout=2_000) as opened:
        QTest.keyClick(page.table, Qt.Key.Key_Return)
    assert opened.args is not None
    assert opened.args[0].name == "support failed"


def test_control_f_searches(page: RunsPage, qtbot: QtBot) -> None:
    page.activateWindow()
    qtbot.waitUntil(page.isActiveWindow, timeout=5_000)
    page.table.setFocus()
    QTest.keyClick(page.table, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    assert page.search.hasFocus()


@pytest.mark.parametrize(
    ("name", "possible"),
    [
        ("support completed", {"Open", "Open folder", "Delete"}),
        ("support stopped", {"Open", "Resume", "Open folder", "Delete"}),
        ("support crashed", {"Open", "Resume", "Open folder", "Delete"}),
    ],
)
def test_the_menu_offers_what_can_be_done(page: RunsPage, name: str, possible: set[str]) -> None:
    menu = page.menu_for(choose(page, name))
    assert {action.text().replace("&", "") for action in menu.actions() if action.isEnabled()} == possible
    menu.deleteLater()


def test_delete_takes_the_run_off_the_table(page: RunsPage, qtbot: QtBot) -> None:
    menu = page.menu_for(choose(page, "support failed"))
    next(action for action in menu.actions() if action.text() == "&Delete").trigger()
    menu.deleteLater()
    qtbot.waitUntil(lambda: "support failed" not in names(page), timeout=10_000)
    assert len(names(page)) == 3


def test_without_runs_the_page_says_how_to_begin(make_page: MakePage, qtbot: QtBot) -> None:
    page = make_page()
    assert not page.table.isVisible()
    assert not page.search.isEnabled()


def test_a_narrow_page_leaves_two_columns_out(page: RunsPage) -> None:
    assert [page.table.isColumnHidden(column) for column in range(8)] == [False] * 8
    page.resize(900, 600)
    assert [column for column in range(8) if page.table.isColumnHidden(column)] == [1, 3]
