"""What SLURM prints, recorded from 22.05 and in the formats of other versions, and what is made of it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from slurm_says import UNKNOWN_JOB, Says

from ablations.scheduler import jobs as scheduler
from ablations.scheduler.jobs import Job, Printed, ask, run_client

QUEUE = """\
1_0|CANCELLED|None|n1|1795328820|1795328820
2|FAILED|NonZeroExitCode|n1|1795328820|1795328820
1_4|PENDING|JobArrayTaskLimit||N/A|N/A
1_10|PENDING|JobArrayTaskLimit||N/A|N/A
4|PENDING|JobHeldUser||1795329999|1795339999
1_1|RUNNING|None|n1|1795328820|1795332420
"""
PAST = """\
2|FAILED|3:0|n1|1795328820|1795328820
3|FAILED|0:9|n2|1795328820|1795328820
4|PENDING|0:0|None assigned|Unknown|Unknown
1_0|CANCELLED by 0|0:0|n1|1795328820|1795328820
1_1|RUNNING|0:0|n1|1795328820|Unknown
1_[4-8,10%3]|PENDING|0:0|None assigned|Unknown|Unknown
"""


def test_one_call_of_each_client_for_any_number_of_jobs() -> None:
    says = Says(QUEUE, PAST)
    ask([f"{number}_{index}" for number in (1, 2) for index in range(50)], says)

    assert sorted(command[0] for command in says.asked) == ["sacct", "scontrol", "squeue"]
    assert [command[command.index("-j") + 1] for command in says.asked if "-j" in command] == ["1,2", "1,2"]


def test_jobs_have_owners_and_names_and_the_answer_has_a_cluster() -> None:
    config = "Configuration data as of 2026-01-01\nCheckpointType = none\nClusterName             = alps\n"
    queue = "7|RUNNING|None|n1|5|9|1000|a|name\n8|PENDING|Priority||N/A|N/A|1000|\n"
    answer = ask(["7", "8", "9"], Says(queue, "9|FAILED|1:0|n1|5|6|1001|b\n", config))

    assert answer.cluster == "alps"
    found = {name: (job.user_id, job.name) for name, job in answer.jobs.items()}
    assert found == {"7": ("1000", "a|name"), "8": ("1000", ""), "9": ("1001", "b")}


@pytest.mark.parametrize("said", ["please load the module slurm first\n", "<html>\n<p>|</p>\n", "x|y\n"])
def test_a_script_that_is_no_squeue_has_not_answered(said: str) -> None:
    """Its words would mean that the queue is empty, and every waiting run would be submitted again."""
    answer = ask(["7"], Says(said, ""))

    assert (answer.queue, answer.accounting) == (False, True)
    assert answer.silence == (f"squeue printed something else than jobs: {said.splitlines()[0]}",)


def test_words_of_a_site_before_the_jobs_are_left_out() -> None:
    answer = ask(["7"], Says("Maintenance on Monday | see the manual\n7|RUNNING|None|n1|5|9|1000|a\n", ""))

    assert (answer.queue, list(answer.jobs)) == (True, ["7"])


def test_a_script_that_cannot_be_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"squeue": "neither a program nor a script", "sacct": "#!/no/such/interpreter\n"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = ask(["7"])

    assert (answer.queue, answer.accounting, answer.cluster) == (False, False, "")
    beginnings = [f"{tmp_path / name} cannot be run: " for name in ("squeue", "sacct")]
    assert [line.startswith(start) for line, start in zip(answer.silence, beginnings, strict=True)] == [True, True]


def test_bytes_that_are_no_utf8_are_shown_as_such() -> None:
    code = r"import sys; sys.stdout.buffer.write(b'caf\xe9 \xc3\xa9'); sys.stderr.buffer.write(b'\xff')"

    assert run_client([sys.executable, "-c", code]) == Printed(0, r"caf\xe9 é", r"\xff")


def test_without_jobs_nobody_is_asked() -> None:
    says = Says()
    assert ask([], says) == scheduler.Answer()
    assert says.asked == []


def test_the_queue_and_accounting_together() -> None:
    answer = ask(["1", "2", "3", "4"], Says(QUEUE, PAST))

    assert (answer.queue, answer.accounting, answer.silence) == (True, True, ())
    assert answer.job("1_1") == Job("RUNNING", node="n1", start=1795328820.0)
    assert answer.job("4") == Job("PENDING", reason="JobHeldUser")
    assert answer.job("2") == Job("FAILED", "3:0", "NonZeroExitCode", "n1", 1795328820.0, 1795328820.0)
    assert answer.job("3") == Job("FAILED", "0:9", "", "n2", 1795328820.0, 1795328820.0)
    cancelled = answer.job("1_0")
    assert cancelled is not None
    assert (cancelled.state, cancelled.waits, cancelled.runs, cancelled.ended) == ("CANCELLED", False, False, True)


def test_what_the_queue_has_let_go_is_not_live_whatever_accounting_says() -> None:
    """A waiting element of an array that is cancelled stays in accounting's range for a while, or is never there."""
    answer = ask(["1"], Says(QUEUE, PAST))

    assert answer.job("1_4") is not None
    assert answer.job("1_5") is None
    assert answer.job("1_9") is None


@pytest.mark.parametrize("state", ["NODE_FAIL", "REQUEUED", "PREEMPTED", "RUNNING"])
def test_the_queue_has_the_word_on_live_jobs(state: str) -> None:
    """Accounting says NODE_FAIL for seconds in which the queue has the job PENDING, to run again."""
    past = f"7|{state}|0:0|n1|1795328820|1795328830\n"
    waiting = ask(["7"], Says("7|PENDING|BeginTime||1795328950|N/A\n", past)).job("7")
    again = ask(["7"], Says("7|RUNNING|None|n2|1795328840|1795332440\n", past)).job("7")

    assert waiting == Job("PENDING", reason="BeginTime")
    assert again is not None
    assert (again.state, again.node, again.start, again.end) == ("RUNNING", "n2", 1795328840.0, None)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("PENDING", "waits"),
        ("CONFIGURING", "waits"),
        ("REQUEUED", "waits"),
        ("REQUEUE_HOLD", "waits"),
        ("SPECIAL_EXIT", "waits"),
        ("RUNNING", "runs"),
        ("COMPLETING", "runs"),
        ("SUSPENDED", "runs"),
        ("STAGE_OUT", "runs"),
        ("COMPLETED", "ended"),
        ("CANCELLED by 1000", "ended"),
        ("CANCELLED+", "ended"),
        ("OUT_OF_MEMORY", "ended"),
        ("TIMEOUT", "ended"),
        ("NODE_FAIL", "ended"),
        ("PREEMPTED", "ended"),
        ("DEADLINE", "ended"),
    ],
)
def test_states(state: str, expected: str) -> None:
    job = ask(["7"], Says(Printed(1, "", ""), f"7|{state}|0:0|n1|Unknown|Unknown\n")).job("7")

    assert job is not None
    assert [name for name in ("waits", "runs", "ended") if getattr(job, name)] == [expected]
    assert job.state == state.split(maxsplit=1)[0].rstrip("+")


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("7_[5-8%2]", [5, 6, 7, 8]),
        ("7_[1,3,5-6]", [1, 3, 5, 6]),
        ("7_[0-9:3]", [0, 3, 6, 9]),
        ("7_[4]", [4]),
        ("7_4", [4]),
    ],
)
def test_ranges_of_waiting_elements(text: str, indices: list[int]) -> None:
    answer = ask(["7"], Says(None, f"{text}|PENDING|0:0|None assigned|Unknown|Unknown\n"))

    assert [index for index in range(12) if answer.job(f"7_{index}")] == indices


@pytest.mark.parametrize("lines", [(0, 1), (1, 0)])
def test_an_element_that_has_a_line_of_its_own_is_not_what_its_range_says(lines: tuple[int, int]) -> None:
    """Recorded: accounting listed 45_8 as running and, for a while, still in the range of those that wait."""
    recorded = ("45_8|RUNNING|0:0|n1|5|Unknown\n", "45_[8-14%15]|PENDING|0:0|None assigned|Unknown|Unknown\n")
    answer = ask(["45"], Says(None, "".join(recorded[line] for line in lines)))

    assert [job.state if (job := answer.job(f"45_{index}")) else None for index in (8, 9)] == ["RUNNING", "PENDING"]


def test_a_range_cut_short_stands_for_what_it_does_not_name() -> None:
    past = "7_[1,3,5,7,...]|PENDING|0:0|None assigned|Unknown|Unknown\n7_2|COMPLETED|0:0|n1|5|6\n"
    answer = ask(["7"], Says(None, past))

    states = [job.state if (job := answer.job(f"7_{index}")) else None for index in (1, 2, 900)]
    assert states == ["PENDING", "COMPLETED", "PENDING"]
    assert answer.job("8_1") is None


def test_times_of_versions_that_ignore_the_asked_format() -> None:
    job = ask(["7"], Says("", "7|FAILED|1:0|n1|2026-11-22T10:00:20|2026-11-22T10:01:20\n")).job("7")

    assert job is not None
    assert job.start == time.mktime((2026, 11, 22, 10, 0, 20, 0, 0, -1))
    assert job.end == job.start + 60


def test_a_queue_that_knows_none_of_the_jobs_has_answered() -> None:
    answer = ask(["7"], Says(UNKNOWN_JOB, "7|COMPLETED|0:0|n1|5|6\n"))

    assert (answer.queue, answer.silence) == (True, ())
    assert answer.job("7") == Job("COMPLETED", "0:0", node="n1", start=5.0, end=6.0)


def test_a_cluster_without_accounting() -> None:
    disabled = Printed(1, "", "Slurm accounting storage is disabled\n")
    answer = ask(["1"], Says(QUEUE, disabled))

    assert (answer.queue, answer.accounting) == (True, False)
    assert answer.silence == ("sacct failed: Slurm accounting storage is disabled",)
    assert answer.job("1_4") == Job("PENDING", reason="JobArrayTaskLimit")


def test_a_scheduler_that_is_down_is_said() -> None:
    down = Printed(1, "", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n")
    answer = ask(["7"], Says(down, None))

    assert (answer.queue, answer.accounting, answer.jobs) == (False, False, {})
    assert answer.silence == (
        "squeue failed: slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "sacct did not answer within 15 s",
    )


def test_a_machine_without_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    answer = ask(["7"])

    assert answer.silence == ("there is no squeue here", "there is no sacct here")


def test_a_long_command_line_is_cut_and_no_job_is_lost() -> None:
    says = Says("", "")
    ids = [str(10_000_000 + number) for number in range(30_000)]
    ask(ids, says)

    calls = [command[command.index("-j") + 1] for command in says.asked if command[0] == "sacct"]
    assert len(calls) == 3
    assert max(map(len, calls)) < 128 * 1024
    assert ",".join(calls).split(",") == ids


def test_filters_of_the_user_do_not_hide_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUEUE_PARTITION", "elsewhere")
    monkeypatch.setenv("SACCT_FORMAT", "JobID")
    code = "import os; print([n for n in os.environ if n[:6] in ('SQUEUE', 'SACCT_')], os.environ['SLURM_TIME_FORMAT'])"

    assert run_client([sys.executable, "-c", code]) == Printed(0, "[] %s\n", "")
