"""Results of GrowthBook's gbstats for random data sets: writes intervals.json, which the tests compare with divvy analyze.

Run it with Python 3.11 after `pip install -r intervals-requirements.txt`. No service is contacted. Each data set has the
sums of two arms, from which divvy computes means and variances itself, and units of several arms for the sample ratio.
"""

import json
import pathlib
import random

from gbstats.frequentist.tests import FrequentistConfig, SequentialConfig, SequentialTwoSidedTTest, TwoSidedTTest
from gbstats.models.statistics import ProportionStatistic, RatioStatistic, SampleMeanStatistic
from gbstats.utils import check_srm


def data_set(draw, kind):
    """The sums of an arm."""
    units = round(10 ** draw.uniform(1.3, 6))
    if kind == "share":
        return {"units": units, "value": draw.randint(max(1, units // 50), units - 1)}
    few = [(draw.expovariate(1 / 40) * (draw.random() < 0.7), draw.randint(1, 9)) for _ in range(min(units, 500))]
    scale = units / len(few)
    sums = {
        "units": units,
        "value": sum(value for value, _ in few) * scale,
        "valueSquares": sum(value * value for value, _ in few) * scale,
    }
    if kind == "ratio":
        sums["divisor"] = sum(divisor for _, divisor in few) * scale
        sums["divisorSquares"] = sum(divisor * divisor for _, divisor in few) * scale
        sums["products"] = sum(value * divisor for value, divisor in few) * scale
    return sums


def statistic(kind, sums):
    units = sums["units"]
    if kind == "share":
        return ProportionStatistic(n=units, sum=sums["value"])
    value = SampleMeanStatistic(n=units, sum=sums["value"], sum_squares=sums["valueSquares"])
    if kind == "mean":
        return value
    divisor = SampleMeanStatistic(n=units, sum=sums["divisor"], sum_squares=sums["divisorSquares"])
    return RatioStatistic(n=units, m_statistic=value, d_statistic=divisor, m_d_sum_of_products=sums["products"])


def results(kind, arms, alpha, tuning):
    one, two = (statistic(kind, arm) for arm in arms)
    found = {}
    for name, difference in (("difference", "absolute"), ("lift", "relative")):
        common = {"alpha": alpha, "difference_type": difference}
        fixed = TwoSidedTTest(one, two, FrequentistConfig(**common)).compute_result()
        config = SequentialConfig(sequential_tuning_parameter=tuning, **common)
        sequential = SequentialTwoSidedTTest(one, two, config).compute_result()
        assert fixed.error_message is None, fixed
        found[name] = {"estimate": fixed.expected, "fixed": list(fixed.ci), "alwaysValid": list(sequential.ci)}
    return found


def main():
    draw = random.Random(24)
    sets = []
    for number in range(50):
        kind = ("share", "mean", "ratio")[number % 3]
        arms = [data_set(draw, kind) for _ in range(2)]
        alpha = draw.choice([0.05, 0.05, 0.01, 0.1, 0.05 / 3])
        tuning = draw.choice([5000, 5000, 200, 100_000])
        weights = [draw.randint(1, 100) for _ in range(draw.randint(2, 6))]
        total = round(10 ** draw.uniform(2, 6))
        # Most splits are right, some lose a share of one arm.
        loss = draw.choice([0, 0, 0, 0.01, 0.05])
        units = [0] * len(weights)
        for arm in draw.choices(range(len(weights)), weights, k=total):
            units[arm] += 1
        units[0] -= round(units[0] * loss)
        sets.append(
            {
                "kind": kind,
                "arms": arms,
                "alpha": alpha,
                "tuning": tuning,
                **results(kind, arms, alpha, tuning),
                "sampleRatio": {"units": units, "weights": weights, "p": float(check_srm(units, weights))},
            }
        )
    path = pathlib.Path(__file__).with_name("intervals.json")
    path.write_text(json.dumps(sets, indent=1) + "\n")


if __name__ == "__main__":
    main()
