"""Colours and who applies them: the only file with hex values, and the one place that knows which theme is shown now.

Everything painted asks `theme()` while painting and repaints on `theme_manager().changed`; nothing keeps a colour.
The values and their measured contrast ratios are tested in tests/ui/kit/test_theme.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QObject, Qt, QTemporaryDir, Signal
from PySide6.QtGui import QColor, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

from desktop_ft.ui.kit import style_sheet

ThemeMode = Literal["system", "light", "dark"]
Tone = Literal["", "2", "3", "accent", "good", "warn", "bad", "info", "busy", "disabled"]


@dataclass(frozen=True)
class Theme:
    """Colour roles as ``#RRGGBB``. Text roles hold 4.5:1 on every background that they are used on."""

    name: str
    window: str
    """Menu bar, sidebar, footers."""
    surface: str
    """Pages, tables, fields."""
    sunken: str
    """Memory panel, wells."""
    hover: str
    """Under the pointer; the empty part of a bar."""
    line: str
    """Separators and frames of groups: decorative."""
    line_strong: str
    """The edge of a control, the header line."""
    text: str
    text_2: str
    """Captions, units, second facts."""
    text_3: str
    """Placeholders and axis numbers."""
    disabled: str
    accent: str
    """Links, focus ring, selection bar."""
    accent_fill: str
    """Primary button, progress, current step."""
    accent_hover: str
    on_accent: str
    accent_soft: str
    """Selected row, item or segment; a trained token."""
    good: str
    good_soft: str
    warn: str
    warn_soft: str
    bad: str
    bad_soft: str
    memory_weights: str
    memory_trained: tuple[str, str, str]
    """Adapter, gradients, optimizer."""
    memory_passing: tuple[str, str]
    """Activations, logits."""
    memory_fixed: tuple[str, str]
    """CUDA context (and the hatch of other programs), buffers."""
    series: tuple[str, ...]
    """Charts, eight, in the order of use."""

    def tone(self, tone: str) -> str:
        """The colour of a tone: a text level, a verdict, or the name of any role."""
        named = {"": self.text, "2": self.text_2, "3": self.text_3, "info": self.accent, "busy": self.accent}
        return named[tone] if tone in named else str(getattr(self, tone))

    def soft(self, tone: str) -> str:
        """The background that goes with a verdict's tone."""
        named = {"good": self.good_soft, "warn": self.warn_soft, "bad": self.bad_soft, "2": self.hover, "": self.hover}
        return named.get(tone, self.accent_soft)

    def memory(self, key: str) -> str:
        """The colour of a memory part; unknown parts look like buffers."""
        adapter, gradients, optimizer = self.memory_trained
        activations, logits = self.memory_passing
        context, buffers = self.memory_fixed
        return {
            "other_programs": context,
            "cuda_context": context,
            "program": context,
            "weights": self.memory_weights,
            "auxiliary_models": self.memory_weights,
            "adapter": adapter,
            "gradients": gradients,
            "optimizer": optimizer,
            "activations": activations,
            "logits": logits,
        }.get(key, buffers)


LIGHT = Theme(
    name="light",
    window="#F0F1F3",
    surface="#FFFFFF",
    sunken="#F7F8F9",
    hover="#E6E8EB",
    line="#DBDEE3",
    line_strong="#7D848F",
    text="#1A1D21",
    text_2="#525964",
    text_3="#666D78",
    disabled="#9AA1AB",
    accent="#2457C5",
    accent_fill="#2B62D9",
    accent_hover="#2152BC",
    on_accent="#FFFFFF",
    accent_soft="#E3ECFC",
    good="#04705F",
    good_soft="#DDF2EC",
    warn="#8F5E00",
    warn_soft="#FBF0D7",
    bad="#9B1230",
    bad_soft="#FAE4E7",
    memory_weights="#2B62D9",
    memory_trained=("#07564F", "#0F8178", "#3A9F95"),
    memory_passing=("#CB7520", "#97480A"),
    memory_fixed=("#5F6772", "#8A919C"),
    series=("#2B62D9", "#B35A35", "#2C9F9D", "#9A74CB", "#9F8700", "#004C6C", "#7E002D", "#585D61"),
)
DARK = Theme(
    name="dark",
    window="#17191C",
    surface="#1F2226",
    sunken="#191B1E",
    hover="#2A2E34",
    line="#343941",
    line_strong="#7C8490",
    text="#E7E9EC",
    text_2="#AAB1BC",
    text_3="#9098A4",
    disabled="#5F6772",
    accent="#8AB0FF",
    accent_fill="#3A6EE0",
    accent_hover="#3162CF",
    on_accent="#FFFFFF",
    accent_soft="#263656",
    good="#5FD6C0",
    good_soft="#1A3832",
    warn="#F2BE55",
    warn_soft="#3A2F18",
    bad="#FF857A",
    bad_soft="#3D2324",
    memory_weights="#5B8DEF",
    memory_trained=("#8FE3D9", "#45BDB1", "#238A82"),
    memory_passing=("#F0A860", "#B5722F"),
    memory_fixed=("#A4ACB8", "#6F7783"),
    series=("#6E9DFF", "#CF5226", "#0A8878", "#9E60AE", "#FCC053", "#70D7FE", "#F76EA4", "#D5DBE2"),
)


def palette_theme(palette: QPalette) -> Theme:
    """The platform's own colours as roles, for people who ask for high contrast: shapes and words carry the meaning."""

    def role(which: QPalette.ColorRole, group: QPalette.ColorGroup = QPalette.ColorGroup.Active) -> str:
        return palette.color(group, which).name()

    roles = QPalette.ColorRole
    text, base, strong = role(roles.WindowText), role(roles.Base), role(roles.Highlight)
    return Theme(
        name="contrast",
        window=role(roles.Window),
        surface=base,
        sunken=role(roles.Window),
        hover=role(roles.Button),
        line=text,
        line_strong=text,
        text=text,
        text_2=text,
        text_3=text,
        disabled=role(roles.Text, QPalette.ColorGroup.Disabled),
        accent=role(roles.Link),
        accent_fill=strong,
        accent_hover=strong,
        on_accent=role(roles.HighlightedText),
        accent_soft=base,
        good=text,
        good_soft=base,
        warn=text,
        warn_soft=base,
        bad=text,
        bad_soft=base,
        memory_weights=strong,
        memory_trained=(text, strong, text),
        memory_passing=(strong, text),
        memory_fixed=(text, text),
        series=(text, strong) * 4,
    )


def theme_palette(colours: Theme) -> QPalette:
    """What Fusion needs to draw the widgets that the style sheet leaves alone."""
    roles = QPalette.ColorRole
    palette = QPalette()
    for role, colour in {
        roles.Window: colours.window,
        roles.WindowText: colours.text,
        roles.Base: colours.surface,
        roles.AlternateBase: colours.sunken,
        roles.Text: colours.text,
        roles.Button: colours.surface,
        roles.ButtonText: colours.text,
        roles.BrightText: colours.text,
        roles.Highlight: colours.accent_soft,
        roles.HighlightedText: colours.text,
        roles.PlaceholderText: colours.text_3,
        roles.ToolTipBase: colours.surface,
        roles.ToolTipText: colours.text,
        roles.Link: colours.accent,
        roles.LinkVisited: colours.accent,
        roles.Mid: colours.line,
        roles.Accent: colours.accent_fill,
    }.items():
        palette.setColor(role, QColor(colour))
    for role in (roles.Text, roles.ButtonText, roles.WindowText, roles.HighlightedText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(colours.disabled))
    return palette


class ThemeManager(QObject):
    """Applies Fusion, the palette and the style sheet, and follows the system.

    ``changed`` comes after the new colours are in force, and also when the program's font changes: repaint, and ask `theme()` again.
    """

    changed = Signal()

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        self._app = app
        self._mode: ThemeMode = "system"
        self._theme = LIGHT
        self._applied = False
        self._high_contrast: bool | None = None
        self._scratch = QTemporaryDir()
        hints = app.styleHints()
        hints.colorSchemeChanged.connect(self._on_system_changed)
        if hasattr(hints, "accessibility"):
            hints.accessibility().contrastPreferenceChanged.connect(self._on_system_changed)
        app.fontChanged.connect(self._on_font_changed)

    @property
    def theme(self) -> Theme:
        """The colours in force."""
        return self._theme

    @property
    def mode(self) -> ThemeMode:
        """What the person chose; ``system`` follows the desktop."""
        return self._mode

    def set_mode(self, mode: ThemeMode) -> None:
        """Choose light, dark or the desktop's own setting, at once and everywhere."""
        self._mode = mode
        schemes = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark, "system": Qt.ColorScheme.Unknown}
        self._app.styleHints().setColorScheme(schemes[mode])
        self.refresh()

    def set_high_contrast(self, wanted: bool | None) -> None:
        """Force the platform's plain colours on or off; ``None`` follows the desktop's preference."""
        self._high_contrast = wanted
        self.refresh()

    def refresh(self) -> None:
        """Apply what mode and system ask for, if it is not in force yet."""
        wanted = self._wanted()
        if self._applied and wanted == self._theme:
            return
        if not self._applied:
            self._app.setStyle("Fusion")
        self._theme, self._applied = wanted, True
        if wanted.name == "contrast":
            self._app.setStyleSheet("")
            self._app.setPalette(self._app.style().standardPalette())
        else:
            self._app.setPalette(theme_palette(wanted))
            self._app.setStyleSheet(style_sheet.build(wanted, self._scratch.path()))
        self.changed.emit()

    def _wanted(self) -> Theme:
        if self._wants_contrast():
            return palette_theme(self._app.style().standardPalette())
        scheme = self._app.styleHints().colorScheme()
        dark = self._mode == "dark" or (self._mode == "system" and scheme == Qt.ColorScheme.Dark)
        return DARK if dark else LIGHT

    def _wants_contrast(self) -> bool:
        if self._high_contrast is not None:
            return self._high_contrast
        hints = self._app.styleHints()
        return hasattr(hints, "accessibility") and hints.accessibility().contrastPreference() == Qt.ContrastPreference.HighContrast

    def _on_font_changed(self) -> None:
        """Every size is a factor of the platform's font, so that its change is a change of theme."""
        self.changed.emit()

    def _on_system_changed(self) -> None:
        self.refresh()


def theme_manager() -> ThemeManager:
    """The manager of this program's QApplication, made on the first call.

    Raises:
        RuntimeError: There is no QApplication yet.
    """
    app = QGuiApplication.instance()
    if not isinstance(app, QApplication):
        raise RuntimeError("the theme needs a QApplication")
    manager = app.findChild(ThemeManager, options=Qt.FindChildOption.FindDirectChildrenOnly)
    if manager is None:
        manager = ThemeManager(app)
        manager.refresh()
    return manager


def theme() -> Theme:
    """The colours in force now. Ask while painting; never keep the answer."""
    return theme_manager().theme
