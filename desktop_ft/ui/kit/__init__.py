"""The parts that every page is built from. Import from the rooms; this package itself loads nothing.

theme        Theme, LIGHT, DARK, ThemeManager (changed, set_mode, set_high_contrast), theme_manager(), theme()
style_sheet  set_property(widget, name, value): a state that the sheet selects by
fonts        font(role, mono, weight), em(count), base_pixels()
icons        icon(name, tone, tone_on), IconLabel, paint_icon, icon_size, STATE_ICONS
text         Label, ElidedLabel, ReadingLabel, number_label, key_cap; format_number, format_gib, format_size, format_duration,
             format_learning_rate
buttons      Button / button(text, kind, icon_name, name, on_click), SegmentedControl (current_changed(int))
layout       row, column, grid, frame, rule, facts_grid, fill, VerticalScrollPage
chips        Chip (set_state), VerdictChip (set_verdict)
messages     MessageStrip (show_error, show_message, dismiss), MessageAction, Message, CrashDialog, exact_text
tables       Column, ListModel (set_rows, ticked), TableView (current_changed, activated_row)
fields       IntControl, FloatControl, OptionalFloatControl, BoolControl, ChoiceControl, TextControl, PathControl
field_row    FieldRow (value_changed, settled) over one of them
memory       MemoryPart, MemoryBar (set_bill), MemoryList (set_parts, set_stale), GpuBar (set_use), Swatch
plots        CurvePlot, SeriesMark; the only road to pyqtgraph (plot_canvas), so import it where a chart is made
chart_box    ChartBox, link_crosshairs
sparkline    Sparkline, paint_sparkline

Rules: nothing keeps a colour (ask `theme()` while painting, repaint on ``changed``); lengths that go with text are in `em`; what shows text
from a model or a file shows it as plain text.
"""
