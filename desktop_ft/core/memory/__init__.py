"""How much memory a run will need, by arithmetic: no torch, no GPU, no weights; a config.json is enough."""

from desktop_ft.core.memory.autos import Choices as Choices
from desktop_ft.core.memory.autos import choose as choose
from desktop_ft.core.memory.autos import make_plan as make_plan
from desktop_ft.core.memory.changes import changed_config as changed_config
from desktop_ft.core.memory.estimate import Lever as Lever
from desktop_ft.core.memory.estimate import MemoryEstimate as MemoryEstimate
from desktop_ft.core.memory.estimate import estimate as estimate
from desktop_ft.core.memory.estimate import estimate_in as estimate_in
from desktop_ft.core.memory.row_lengths import RowLengths as RowLengths
from desktop_ft.core.memory.situation import Situation as Situation
from desktop_ft.core.memory.suggestions import Suggestion as Suggestion
from desktop_ft.core.memory.terms import TERM_KEYS as TERM_KEYS
from desktop_ft.core.memory.terms import MemoryTerm as MemoryTerm
from desktop_ft.core.memory.terms import TermKey as TermKey
from desktop_ft.core.memory.terms import Verdict as Verdict
