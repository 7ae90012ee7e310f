"""The reporter: result tables in, figures, tables, verdicts and one HTML page out.

It reads files with a stated schema (``results/*``, ``reports/paper/*``) and imports neither trainer nor harness.
"""
