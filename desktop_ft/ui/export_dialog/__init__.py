"""Taking the result of a run away. `ExportDialog` is all that the window needs.

outcome     what came of each export, as words, checks and a report; no widgets
plan        sizes and the disk check, read in a thread
choices     before: what to write and how; running: during; result: after; dialog: who shows which
"""

from desktop_ft.ui.export_dialog.dialog import ExportDialog as ExportDialog
