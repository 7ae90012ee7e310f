"""How many further seeds would decide a claim: its own rule, on samples drawn as if its estimates were the truth."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from reports.claims.comparisons import Comparison
from reports.claims.rule import LOOKS, Decision, every, over_looks, some
from reports.claims.stats import ALPHA, Booleans, Effect, Floats, Proportion, satterthwaite

POWER = 0.8
"""Probability with which the further seeds that are told would decide a claim."""

MOST = 1000
"""More further seeds than these are not looked for."""

_NUMBERS = 25_000  # p-values drawn for a number of seeds: 1,000 samples of the claim, 200 where it compares hundreds

_Drawn = tuple[Floats, Floats, Booleans]


def further_seeds(
    candidates: Sequence[Sequence[Comparison]], family: tuple[int, int], *, look: int | None = None
) -> tuple[int | None, str]:
    """(seeds, words): how many beside those there are would decide the claim with probability ``POWER``.

    ``candidates`` are the claim's comparisons as ``Question`` has them; their estimated means and standard deviations
    are taken for the truth. ``family`` divides alpha for (supported, contradicted): Holm's step with the claims that
    may come before this one. ``look`` is the last look there was, of a grid that has looks: verdicts come only at those
    that are left. The number is None, and the words say why, where no number will do; both are empty below two seeds.
    The draws are the same in every report.
    """
    rows = [one for candidate in candidates for one in candidate]
    num_seeds = min((one.effect.num_seeds for one in rows), default=0)
    if num_seeds < 2:
        return None, ""
    if look is None:
        counts = range(num_seeds + 1, num_seeds + MOST + 1)
        place = bisect.bisect_left(counts, POWER, key=lambda count: _decided(candidates, [count], family)[0])
        if place == len(counts):
            return None, f"more than {MOST:,} more needed"
        return place + 1, f"about {place + 1:,} more would decide"
    left = [each for each in LOOKS if each > look]
    if not left:
        return None, "no look is left"
    for count, power in zip(left, _decided(candidates, left, family, looks=True), strict=True):
        if power >= POWER:
            return count - look, f"{count - look} more would decide, at the look after {count}"
    return None, f"no decision expected by the last look, after {LOOKS[-1]}"


def _decided(
    candidates: Sequence[Sequence[Comparison]], counts: Sequence[int], family: tuple[int, int], *, looks: bool = False
) -> list[float]:
    """How often the claim is decided after each of ``counts`` seeds; with ``looks``, after it or one before."""
    rows = [one for candidate in candidates for one in candidate]
    ends = np.cumsum([len(candidate) for candidate in candidates])[:-1]
    decisions: list[Decision] = []
    found = []
    for drawn in _draws(rows, counts):
        parts = zip(*(np.split(each, ends) for each in drawn), strict=True)
        decisions.append(some([every(*part) for part in parts]))
        decision = over_looks(decisions) if looks else decisions[-1]
        p_values = (decision.p_supported, decision.p_contradicted)
        found.append(float(np.mean(np.any([n * p < ALPHA for n, p in zip(family, p_values, strict=True)], axis=0))))
    return found


def _draws(rows: Sequence[Comparison], counts: Sequence[int]) -> Iterator[_Drawn]:
    """Of samples that grow to each of ``counts`` seeds: p above, p below, estimate above its margin, (rows, draws)."""
    rng, num = np.random.default_rng(0), int(np.clip(_NUMBERS // len(rows), 200, 1000))
    margins = np.array([[one.margin] for one in rows])
    effects = [one.effect for one in rows if isinstance(one.effect, Effect)]
    if len(effects) == len(rows):
        return _of_effects(effects, margins, counts, num, rng)
    return _of_shares([one.effect for one in rows if isinstance(one.effect, Proportion)], margins, counts, num, rng)


def _of_effects(
    effects: Sequence[Effect], margins: Floats, counts: Sequence[int], num: int, rng: np.random.Generator
) -> Iterator[_Drawn]:
    # Comparisons that share a cell share its draws: a sample is known by its values, which no other has by chance
    # unless they are constant.
    place: dict[bytes, int] = {}
    index = np.zeros((len(effects), max(len(effect.samples) for effect in effects)), dtype=int)
    weights = np.zeros(index.shape)
    for row, effect in enumerate(effects):
        for column, (weight, values) in enumerate(effect.samples):
            index[row, column] = place.setdefault(values.tobytes(), len(place))
            weights[row, column] = weight
    sds = np.array([[np.std(np.frombuffer(values), ddof=1)] for values in place])
    excess = np.array([[effect.estimate] for effect in effects]) - margins
    columns = list(zip(weights.T[:, :, None], index.T, strict=True))
    for count, off, variances in _grown(sds, counts, num, rng):
        estimate = np.asarray(excess + sum(weight * off[rows] for weight, rows in columns))
        effect = satterthwaite(estimate, [weight**2 * variances[rows] / count for weight, rows in columns], count)
        above = effect.p_above(0.0)
        yield above, 1.0 - above if np.all(effect.standard_error > 0) else effect.p_below(0.0), estimate > 0


def _grown(
    sds: Floats, counts: Sequence[int], num: int, rng: np.random.Generator
) -> Iterator[tuple[int, Floats, Floats]]:
    """(seeds, means, variances), (samples, num) each, of normal samples around 0 with ``sds`` (samples, 1)."""
    shape, before = (len(sds), num), 0
    mean, squares = np.zeros(shape), np.zeros(shape)
    for count in counts:
        new = count - before
        block = sds * rng.standard_normal(shape) / np.sqrt(new)
        gap = block - mean
        squares = squares + sds**2 * rng.chisquare(new - 1, shape) + gap**2 * before * new / count
        mean = mean + gap * new / count
        before = count
        yield count, mean, squares / (count - 1)


def _of_shares(
    shares: Sequence[Proportion], margins: Floats, counts: Sequence[int], num: int, rng: np.random.Generator
) -> Iterator[_Drawn]:
    truth = np.array([[share.estimate] for share in shares])
    met, before = np.zeros((len(shares), num)), 0
    for count in counts:
        met = met + rng.binomial(count - before, truth, met.shape)
        before = count
        yield stats.binom.sf(met - 1, count, margins), stats.binom.cdf(met, count, margins), met > margins * count
