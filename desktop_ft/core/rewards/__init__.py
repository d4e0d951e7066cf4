"""What makes an answer good, where no person and no model says so: rules that score a text from 0 to 1.

Pure: used by the check of a configuration, by the window's editor of rules and by the engine. `regex` and `jsonschema_rs` are imported in
one room each, when a rule needs them.
"""
