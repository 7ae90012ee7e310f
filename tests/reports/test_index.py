"""The overview: its cards, what they add up to, what can be filtered, what is broken; and that it stays small."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from fake_results import fake_grids, write_results
from page_parser import Page

from reports.inputs import load_results
from reports.page.card import Card, card
from reports.page.index import Found, overview_page
from reports.page.last_report import Change
from reports.page.section import section

NOTHING = Found(changes=None, problems=[], has_provenance=True)
SVG = '<svg viewBox="0 0 900 350">'


@pytest.fixture(scope="module")
def cards(tmp_path_factory) -> list[Card]:
    """Two grids at two scales; of one, cells run, wait and have failed, and a run is another grid's too."""
    grids = fake_grids()
    (fig5, _), *_ = grids
    for cell, state in zip(fig5["cells"], ("failed", "running", "queued", "planned"), strict=False):
        cell["runs"][0]["state"] = state
    fig5["cells"][0]["runs"][1]["state"] = "running"  # a failed run counts before a running one
    folder = write_results(tmp_path_factory.mktemp("overview") / "results", grids)
    return [card(section(result), SVG) for result in load_results(folder)]


@pytest.fixture(scope="module")
def page(cards) -> Page:
    return Page(overview_page(cards, NOTHING))


def test_every_grid_has_a_card(cards, page) -> None:
    articles = page.all("li", class_="card")

    assert len(articles) == len(cards) == 4
    for one, values in zip(cards, articles, strict=True):
        assert values["data-paper"] == one.paper_key
        assert values["data-scale"] == one.scale
        assert (values["data-verdicts"] or "").split("|") == [name for name, _ in one.tally]
        assert f"grids/{one.slug}.html" in page.links
        assert one.question in page.text
    assert [values["src"] for values in page.all("img")] == [f"figures/{one.slug}.svg" for one in cards]
    assert [values["alt"] for values in page.all("img")] == [one.finding for one in cards]


def test_progress_is_told_in_cells_by_their_worst_run(cards, page) -> None:
    assert cards[0].progress == "6 of 10 cells done, 1 running, 1 queued, 1 failed, 1 planned"
    assert cards[1].progress == "all 50 cells done"
    assert "6 of 10 cells done, 1 running, 1 queued, 1 failed, 1 planned" in page.text
    bars = [values for values in page.all("span") if (values.get("style") or "").startswith("flex-grow:")]
    assert sum(values["class"] == "failed" for values in bars) == 1


def test_totals_count_a_shared_run_once(cards) -> None:
    twin = dataclasses.replace(cards[0], slug="other.demo")
    alone, both = (Page(overview_page(some, NOTHING)).text for some in (cards[:1], [cards[0], twin]))

    assert "Runs 25 done, 2 running, 1 queued, 1 failed, 1 planned of 30" in alone
    assert "Runs 25 done, 2 running, 1 queued, 1 failed, 1 planned of 30" in both
    assert "Cells 10" in alone
    assert "Cells 20" in both


def test_filters_offer_what_there_is(page, cards) -> None:
    offered = [(values["name"], values["value"]) for values in page.all("input", type="checkbox")]
    verdicts = {claim.verdict for one in cards for claim in one.claims}

    assert offered[:4] == [("paper", "simclr"), ("paper", "simsiam"), ("scale", "demo"), ("scale", "mini")]
    assert {value for name, value in offered if name == "verdict"} == verdicts
    assert page.all("form")[0]["id"] == "filters"
    assert "hidden" in page.all("form")[0]  # until the script runs
    assert page.all("span", role="status") == [{"id": "shown", "role": "status"}]


def test_every_claim_is_in_the_table_with_a_link_to_its_place(page, cards) -> None:
    for one in cards:
        for claim in one.claims:
            assert f"grids/{one.slug}.html#{one.slug}.{claim.id}" in page.links
    rows = [values for values in page.all("tr") if "data-verdicts" in values]
    assert len(rows) == sum(len(one.claims) for one in cards) == 12


def test_what_changed_is_told(cards) -> None:
    assert "First report in this folder" in Page(overview_page(cards, NOTHING)).text
    none = Page(overview_page(cards, dataclasses.replace(NOTHING, changes=[]))).text
    assert "No verdict flipped, and no run was added." in none
    changes = [
        Change("verdict", "a.demo", "SimCLR, Fig. 5", "", claim="C1", was="undecided", now="supported"),
        Change("runs", "b.demo", "SimSiam, Fig. 2", "3 runs newly done"),
        Change("gone", "c.demo", "An old grid", "no longer in this report"),
    ]
    page = Page(overview_page(cards, dataclasses.replace(NOTHING, changes=changes)))
    assert "SimCLR, Fig. 5 : C1 ? undecided → now ✓ supported" in page.text
    assert "SimSiam, Fig. 2 : 3 runs newly done" in page.text
    assert "grids/b.demo.html" in page.links
    assert "grids/c.demo.html" not in page.links


def test_broken_folders_are_listed_up_to_a_point(cards) -> None:
    problems = [(f"runs/x-{number}", "result.json: torn") for number in range(250)]
    page = Page(overview_page(cards, dataclasses.replace(NOTHING, problems=problems)))

    assert "runs/x-199 result.json: torn" in page.text
    assert "runs/x-200" not in page.text
    assert "And 50 more" in page.text
    assert "Not used" not in Page(overview_page(cards, NOTHING)).text


def test_missing_provenance_is_said(cards) -> None:
    text = Page(overview_page(cards, dataclasses.replace(NOTHING, has_provenance=False))).text

    assert "Where the runs came from was not collected." in text
    assert "was not collected" not in Page(overview_page(cards, NOTHING)).text


def test_a_hundred_grids_of_a_thousand_runs_stay_under_three_megabytes(cards) -> None:
    runs = {f"simclr-cifar10-jpeg-{number:012x}": "done" for number in range(1000)}
    many = [dataclasses.replace(cards[number % 4], slug=f"grid-{number}.mini", runs=runs) for number in range(100)]

    assert len(overview_page(many, NOTHING).encode()) < 3_000_000


def test_a_card_comes_back_from_json(cards) -> None:
    for one in cards:
        assert Card.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_thumbnails_are_linked_not_inlined(page) -> None:
    assert not page.all("svg")
    assert all(not Path(values["src"] or "").is_absolute() for values in page.all("img"))
