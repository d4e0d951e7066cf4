"""Desktop FT: fine-tune a language model on your own workstation."""

from typing import Final

__version__: Final = "0.1.0"
