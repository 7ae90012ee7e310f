"""The papers' numbers as they travel, and what a bad file is told."""

from __future__ import annotations

import pytest

from reports.errors import InputError
from reports.papers import COLUMNS, PAPER_DIR, load_paper

FIG5, FIG2 = "simclr_fig5_augmentation_pairs.csv", "simsiam_fig2_stop_gradient.csv"
ORDER = ["crop", "cutout", "color", "sobel", "noise", "blur", "rotate"]


def test_every_file_loads_and_every_number_has_a_source() -> None:
    for path in sorted(PAPER_DIR.glob("*.csv")):
        frame = load_paper(path.name)

        assert len(frame) > 0, path.name
        assert frame["source"].str.len().min() > 0, path.name
        assert frame["precision"].isin(["printed", "in words", "curve only", "estimated", "computed"]).all(), path.name
        assert (frame["value"].notna() | frame["precision"].isin(["curve only", "computed"])).all(), path.name


def test_fig5_has_the_printed_cells() -> None:
    frame = load_paper(FIG5, ["first", "second"])
    cells = frame[frame["role"] == "cell"].pivot(index="first", columns="second", values="value").loc[ORDER, ORDER]

    assert cells.shape == (7, 7)
    assert [cells.loc[name, name] for name in ORDER] == [33.1, 25.6, 18.8, 4.0, 9.8, 2.6, 2.6]
    assert (cells.loc["crop", "color"], cells.loc["color", "crop"], cells.to_numpy().max()) == (56.3, 55.8, 56.3)


def test_fig5_row_averages_are_those_of_the_cells_up_to_rounding() -> None:
    frame = load_paper(FIG5, ["first", "second"])
    computed = frame[frame["role"] == "cell"].groupby("first")["value"].mean()
    printed = frame[frame["role"] == "row_average"].set_index("first")["value"]

    assert (computed - printed).abs().max() < 0.07  # "noise" averages 15.56 and prints 15.5


def test_fig2_has_the_printed_numbers() -> None:
    table = load_paper(FIG2, ["stop_gradient"]).set_index(["stop_gradient", "metric"])

    assert tuple(table.loc[("true", "linear_top1"), ["value", "std"]]) == (67.7, 0.1)
    assert table.loc[("false", "linear_top1"), "value"] == 0.1
    assert table.loc[("false", "final_loss"), "value"] == -1
    assert table.loc[("true", "z_std"), "value"] == pytest.approx(2048**-0.5, abs=5e-5)


HEADER = ",".join(["first", *COLUMNS])
ROW = "crop,cell,linear_top1,33.1,,percent,100,ImageNet-1k,ResNet-50,a paper,printed,"


def _problems(path, axes=()) -> str:
    with pytest.raises(InputError) as raised:
        load_paper(str(path), axes)
    return "\n".join(raised.value.problems)


def test_missing_columns_are_named_all_at_once_with_the_nearest(tmp_path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(HEADER.replace("value", "valeu").replace("source", "sources") + "\n" + ROW + "\n")

    problems = _problems(path, ["first", "second"])

    assert "bad.csv: no column 'value'" in problems
    assert "did you mean 'valeu'" in problems
    assert "no column 'source'" in problems
    assert "no column 'second'" in problems


def test_a_number_that_cannot_be_read_is_named_with_row_and_column(tmp_path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("\n".join([HEADER, ROW, ROW.replace("33.1", "33,1".replace(",", ";")), ROW.replace("100", "inf")]))

    problems = _problems(path)

    assert "bad.csv, row 3, column 'value': '33;1' is not a number" in problems
    assert "bad.csv, row 4, column 'epochs'" in problems


def test_a_row_of_the_wrong_length_is_named(tmp_path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(f"{HEADER}\n{ROW},more\n")

    assert "bad.csv, row 2: expected 12 fields" in _problems(path)


def test_a_missing_file_names_the_nearest() -> None:
    assert f"did you mean '{FIG5}'" in _problems("simclr_fig5_augmentation_pair.csv")
