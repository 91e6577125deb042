"""Medians, percentiles, and paired ratios with an upper bound."""
import random
import statistics

RESAMPLES = 500
CONFIDENCE = 0.95


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def median_ratio(pairs):
    return statistics.median(a / b for a, b in pairs)


def p90_ratio(pairs):
    """No ratio of single rounds: a bad round of the one is no bad round of the other."""
    return percentile([a for a, _ in pairs], 0.9) / percentile([b for _, b in pairs], 0.9)


def pairs_of(ours, theirs):
    return [(a, b) for a, b in zip(ours, theirs) if a is not None and b is not None and b > 0]


def ratio(ours, theirs, statistic=median_ratio):
    pairs = pairs_of(ours, theirs)
    return statistic(pairs) if pairs else None


def upper_bound(ours, theirs, statistic=median_ratio):
    """The one-sided upper 95 % bound, by bootstrap: rounds are drawn with replacement and stay
    pairs, since a noisy neighbour hits both programs of a round."""
    pairs = pairs_of(ours, theirs)
    if not pairs:
        return None
    generator = random.Random(1)  # the same data give the same bound
    drawn = sorted(statistic(generator.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES))
    return drawn[int(CONFIDENCE * RESAMPLES)]
