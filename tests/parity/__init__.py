"""Parity with the original authors' code, by the numbers it gave for fixed inputs.

``python -m parity FOLDER`` (or ``nox -s parity -- FOLDER``) checks every golden file of a folder and prints the
largest error of each comparison; ``tests/core/test_golden.py`` runs the same checks on ``tests/golden``. Each module
holds the checks of one family of files, and nothing but the family is taken from a file's name: what is in it and every
hyper-parameter is read from the file.
"""
