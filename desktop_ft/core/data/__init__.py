"""Data for training: read a file, know its format, render and tokenise it to the ids and labels that the trainer will train on.

No Qt, torch, transformers, trl or datasets. pyarrow, jinja2 and tokenizers are imported only by `read`, `template` and `tokenizer`.
The roads in: `dataset.load_training_data` (engine), `check.inspect_data` and `view.view_rows` (previews, through `core.worker`).
"""
