"""What this project costs, beside a peer or a limit that is measured in the same run: ``nox -s bench``.

A benchmark is a module here with one public function::

    def run() -> list[Table]: ...

It measures and returns its tables (``tables.Table``), the first of which has the figure and its ratio to the peer or
the limit; it prints nothing and writes nothing but temporary files. Its name in ``__main__.BENCHMARKS`` is its
module's. What is compared takes turns (``tables.in_turns``), since other work on a machine meets all alike then, and
ratios are medians of the rounds' ratios. ``tables.Apart`` gives each its own process where settings differ. ``status``
is an older script, to be run by itself; ``streaming`` is a part of ``data_path``.
"""
