"""Tables: a small typed model over rows of any kind, and a view with the selection bar, the focus ring and rows that grow with the font."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, cast

from PySide6.QtCore import QAbstractTableModel, QEvent, QModelIndex, QObject, QPersistentModelIndex, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFocusEvent, QKeyEvent, QPainter
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QTableView, QWidget

from desktop_ft.ui.kit.fonts import em, font
from desktop_ft.ui.kit.icons import icon, icon_size
from desktop_ft.ui.kit.theme import theme, theme_manager

Row = TypeVar("Row")
Index = QModelIndex | QPersistentModelIndex
SortValue = str | float | int

ROW_HEIGHT_EM = 32 / 13
BAR_WIDTH = 3
_DISPLAY = Qt.ItemDataRole.DisplayRole
_ROOT = QModelIndex()


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column.

    Attributes:
        title: Its heading.
        text: The words of a row.
        align: ``right`` for numbers.
        width_em: Width in ems of the body font; 0 takes the rest (one column should).
        icon: Icon and tone before the words.
        tone: Tone of the words; the first column is ``""``, the others ``2`` unless told.
        bold: Whether the words are semibold.
        tooltip: Words for the tooltip, if not the text itself.
        sort: What rows are sorted by; without it the column does not sort.
        checked: Makes the cell a check box.
        paint: Draws the cell instead of words; `text` is still read aloud.
    """

    title: str
    text: Callable[[Row], str]
    align: Literal["left", "right"] = "left"
    width_em: float = 0
    icon: Callable[[Row], tuple[str, str] | None] | None = None
    tone: Callable[[Row], str] | str | None = None
    bold: Callable[[Row], bool] | None = None
    tooltip: Callable[[Row], str] | None = None
    sort: Callable[[Row], SortValue] | None = None
    checked: Callable[[Row], bool] | None = None
    paint: Callable[[QPainter, QRectF, Row], None] | None = None

    def words(self, row: Row, role: int) -> str:
        """What a cell says: painted nowhere if the cell is drawn, with its heading when read aloud, and in its tooltip."""
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return "" if self.paint is not None else self.text(row)
            case Qt.ItemDataRole.AccessibleTextRole if self.title:
                return f"{self.title}: {self.text(row)}"
            case Qt.ItemDataRole.ToolTipRole if self.tooltip is not None:
                return self.tooltip(row)
            case _:
                return self.text(row)


class ListModel(QAbstractTableModel, Generic[Row]):
    """Rows as they are given, shown through columns. ``ticked`` carries the row and whether it shall be ticked.

    Args:
        columns: From left to right.
        key: What makes a row the same row when the rows are set anew, so that selection and place stay.
    """

    ticked = Signal(object, bool)

    def __init__(self, columns: Sequence[Column[Row]], *, key: Callable[[Row], object], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.columns = tuple(columns)
        self.key = key
        self._rows: list[Row] = []
        self._sort: tuple[int, bool] | None = None
        theme_manager().changed.connect(self._on_theme_changed)

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show other rows; rows with known keys in the same order only change their words."""
        fresh = self._sorted(rows)
        if [self.key(r) for r in fresh] == [self.key(r) for r in self._rows]:
            changed = [i for i, (old, new) in enumerate(zip(self._rows, fresh, strict=True)) if old != new]
            self._rows = fresh
            for i in changed:
                self.dataChanged.emit(self.index(i, 0), self.index(i, len(self.columns) - 1))
            return
        self.beginResetModel()
        self._rows = fresh
        self.endResetModel()

    def rows(self) -> tuple[Row, ...]:
        """The rows in the order shown."""
        return tuple(self._rows)

    def row_at(self, line: int) -> Row | None:
        """The row of a line, or none."""
        return self._rows[line] if 0 <= line < len(self._rows) else None

    def line_of(self, key: object) -> int:
        """The line of a key, or -1."""
        return next((i for i, r in enumerate(self._rows) if self.key(r) == key), -1)

    def rowCount(self, parent: Index = _ROOT) -> int:
        """Rows; a table has no children."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = _ROOT) -> int:
        """Columns; a table has no children."""
        return 0 if parent.isValid() else len(self.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _DISPLAY) -> object:
        """Headings, aligned as their columns."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column.align)
        return column.title if role == _DISPLAY else None

    def data(self, index: Index, role: int = _DISPLAY) -> object:
        """What a cell says and how."""
        row = self.row_at(index.row())
        if row is None or not index.isValid():
            return None
        column = self.columns[index.column()]
        match role:
            case Qt.ItemDataRole.DisplayRole | Qt.ItemDataRole.AccessibleTextRole | Qt.ItemDataRole.ToolTipRole:
                return column.words(row, role)
            case Qt.ItemDataRole.TextAlignmentRole:
                return _alignment(column.align)
            case Qt.ItemDataRole.DecorationRole:
                found = column.icon(row) if column.icon is not None else None
                return None if found is None else icon(*found)
            case Qt.ItemDataRole.ForegroundRole:
                return QColor(theme().tone(self._tone(column, row, index.column())))
            case Qt.ItemDataRole.FontRole:
                return font(weight=600 if column.bold is not None and column.bold(row) else 400)
            case Qt.ItemDataRole.CheckStateRole if column.checked is not None:
                return Qt.CheckState.Checked if column.checked(row) else Qt.CheckState.Unchecked
            case _:
                return None

    def setData(self, index: Index, value: object, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """A tick is asked for, not taken: who owns the rows sets them anew."""
        row = self.row_at(index.row())
        if role != Qt.ItemDataRole.CheckStateRole or row is None:
            return False
        self.ticked.emit(row, Qt.CheckState(value) == Qt.CheckState.Checked)
        return True

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Cells can be selected; those of a tick column can be ticked."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.isValid() and self.columns[index.column()].checked is not None:
            flags |= Qt.ItemFlag.ItemIsUserCheckable
        return flags

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column that can; others change nothing."""
        if not 0 <= column < len(self.columns) or self.columns[column].sort is None:
            return
        self._sort = (column, order == Qt.SortOrder.DescendingOrder)
        self.layoutAboutToBeChanged.emit()
        old = self.persistentIndexList()
        keys = [self.key(self._rows[index.row()]) for index in old]
        self._rows = self._sorted(self._rows)
        moved = [self.index(self.line_of(key), index.column()) for key, index in zip(keys, old, strict=True)]
        self.changePersistentIndexList(old, moved)
        self.layoutChanged.emit()

    def _sorted(self, rows: Sequence[Row]) -> list[Row]:
        if self._sort is None:
            return list(rows)
        column, descending = self._sort
        by = self.columns[column].sort
        assert by is not None
        return sorted(rows, key=lambda row: cast(float, by(row)), reverse=descending)

    def _tone(self, column: Column[Row], row: Row, place: int) -> str:
        if column.tone is None:
            return "" if place == 0 or column.icon is not None else "2"
        return column.tone if isinstance(column.tone, str) else column.tone(row)

    def _on_theme_changed(self) -> None:
        if self._rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._rows) - 1, len(self.columns) - 1))


class _Cells(QStyledItemDelegate):
    """A selected row carries a bar as well as a tint, the current row a ring when the table has the focus."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        view = cast("TableView", self.parent())
        style = QStyleOptionViewItem(option)
        style.state &= ~QStyle.StateFlag.State_HasFocus
        super().paint(painter, style, index)
        model = cast("ListModel[object]", index.model())
        column, row = model.columns[index.column()], model.row_at(index.row())
        rect = style.rect
        if column.paint is not None and row is not None:
            column.paint(painter, QRectF(rect), row)
        first = view.first_column() == index.column()
        if style.state & QStyle.StateFlag.State_Selected and first:
            painter.fillRect(QRect(rect.left(), rect.top(), BAR_WIDTH, rect.height() - 1), QColor(theme().accent))
        if view.hasFocus() and view.currentIndex().row() == index.row():
            self._paint_ring(painter, rect, first=first, last=view.last_column() == index.column())

    def _paint_ring(self, painter: QPainter, rect: QRect, *, first: bool, last: bool) -> None:
        """Two pixels around the row; each cell draws its share."""
        colour = QColor(theme().accent)
        wide, high = rect.width(), rect.height() - 1
        painter.fillRect(rect.left(), rect.top(), wide, 2, colour)
        painter.fillRect(rect.left(), rect.top() + high - 2, wide, 2, colour)
        if first:
            painter.fillRect(rect.left(), rect.top(), 2, high, colour)
        if last:
            painter.fillRect(rect.right() - 1, rect.top(), 2, high, colour)


class TableView(QTableView):
    """A table of whole rows.

    ``current_changed`` carries the row that arrows and clicks chose (or ``None``); ``activated_row`` the row of Enter or a double click.
    Space ticks the current row where the model has a tick column.

    Args:
        model: What it shows.
        name: Accessible name.
    """

    current_changed = Signal(object)
    activated_row = Signal(object)

    def __init__(self, model: ListModel[Row], *, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = cast("ListModel[object]", model)
        self._kept: object = None
        self.setAccessibleName(name)
        self.setItemDelegate(_Cells(self))
        self.setModel(self._model)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setMouseTracking(True)
        self.setTabKeyNavigation(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setCornerButtonEnabled(False)
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsClickable(any(c.sort is not None for c in self._model.columns))
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.sectionClicked.connect(self._on_heading_clicked)
        self.selectionModel().currentRowChanged.connect(self._on_current_changed)
        self._model.modelAboutToBeReset.connect(self._on_about_to_reset)
        self._model.modelReset.connect(self._on_reset)
        self.activated.connect(self._on_activated)
        theme_manager().changed.connect(self._on_theme_changed)
        self._on_theme_changed()

    def current_row(self) -> object:
        """The chosen row, or ``None``."""
        return self._model.row_at(self.currentIndex().row())

    def select_key(self, key: object) -> bool:
        """Choose the row with a key; false if there is none."""
        line = self._model.line_of(key)
        if line < 0:
            self.clearSelection()
            self.setCurrentIndex(QModelIndex())
            return False
        self.selectRow(line)
        self.scrollTo(self._model.index(line, 0))
        return True

    def first_column(self) -> int:
        """The first column that is not hidden."""
        return next((c for c in range(len(self._model.columns)) if not self.isColumnHidden(c)), 0)

    def last_column(self) -> int:
        """The last column that is not hidden."""
        return next((c for c in reversed(range(len(self._model.columns))) if not self.isColumnHidden(c)), 0)

    def fit_height(self, most_rows: int = 0) -> None:
        """Be exactly as high as the rows (at most ``most_rows`` of them), for tables inside a page that scrolls."""
        lines = self._model.rowCount()
        shown = min(lines, most_rows) if most_rows else lines
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + shown * em(ROW_HEIGHT_EM) + 2)

    def sizeHint(self) -> QSize:
        """A few rows; pages give more."""
        return QSize(em(40), self.horizontalHeader().sizeHint().height() + 5 * em(ROW_HEIGHT_EM))

    def minimumSizeHint(self) -> QSize:
        """All fixed columns and some of the free one, three rows."""
        fixed = sum(em(c.width_em or 8) for i, c in enumerate(self._model.columns) if not self.isColumnHidden(i))
        return QSize(fixed + 14, self.horizontalHeader().sizeHint().height() + 3 * em(ROW_HEIGHT_EM))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens, Space ticks; the rest is Qt's own."""
        row = self.current_row()
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and row is not None:
            self.activated_row.emit(row)
            return
        tick = next((c for c in self._model.columns if c.checked is not None), None)
        if event.key() == Qt.Key.Key_Space and tick is not None and row is not None and tick.checked is not None:
            self._model.ticked.emit(row, not tick.checked(row))
            return
        super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Someone who arrives by Tab needs a current row to see where they are."""
        super().focusInEvent(event)
        if not self.currentIndex().isValid() and self._model.rowCount():
            self.setCurrentIndex(self._model.index(0, 0))
        self.viewport().update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """The ring goes."""
        super().focusOutEvent(event)
        self.viewport().update()

    def viewportEvent(self, event: QEvent) -> bool:
        """A resized viewport gives its free width to the free column."""
        if event.type() == QEvent.Type.Resize:
            self._fit_columns()
        return super().viewportEvent(event)

    def _fit_columns(self) -> None:
        shown = [i for i in range(len(self._model.columns)) if not self.isColumnHidden(i)]
        free = [i for i in shown if not self._model.columns[i].width_em]
        fixed = sum(em(self._model.columns[i].width_em) for i in shown)
        for i in shown:
            wide = em(self._model.columns[i].width_em)
            if i in free:
                wide = max(em(6), (self.viewport().width() - fixed) // len(free))
            if self.columnWidth(i) != wide:
                self.setColumnWidth(i, wide)

    def _on_theme_changed(self) -> None:
        self.setIconSize(QSize(icon_size(), icon_size()))
        self.verticalHeader().setMinimumSectionSize(1)
        self.verticalHeader().setDefaultSectionSize(em(ROW_HEIGHT_EM))
        self._fit_columns()
        self.viewport().update()

    def _on_current_changed(self) -> None:
        self.viewport().update()
        self.current_changed.emit(self.current_row())

    def _on_activated(self, index: QModelIndex) -> None:
        self.activated_row.emit(self._model.row_at(index.row()))

    def _on_heading_clicked(self, section: int) -> None:
        if self._model.columns[section].sort is None:
            return
        header = self.horizontalHeader()
        again = header.isSortIndicatorShown() and header.sortIndicatorSection() == section
        descending = again and header.sortIndicatorOrder() == Qt.SortOrder.AscendingOrder
        order = Qt.SortOrder.DescendingOrder if descending else Qt.SortOrder.AscendingOrder
        header.setSortIndicatorShown(True)
        header.setSortIndicator(section, order)
        self._model.sort(section, order)

    def _on_about_to_reset(self) -> None:
        row = self.current_row()
        self._kept = None if row is None else self._model.key(row)

    def _on_reset(self) -> None:
        if self._kept is not None and not self.select_key(self._kept):
            self.current_changed.emit(None)


def _alignment(align: str) -> Qt.AlignmentFlag:
    across = Qt.AlignmentFlag.AlignRight if align == "right" else Qt.AlignmentFlag.AlignLeft
    return across | Qt.AlignmentFlag.AlignVCenter
