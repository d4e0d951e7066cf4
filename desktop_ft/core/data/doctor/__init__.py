"""The data doctor: one room for each family of faults. Every check is a pure function of a row; none uses torch or a tokenizer.

Checks must stay linear in a row's length, for rows may hold megabytes of one character.
"""
