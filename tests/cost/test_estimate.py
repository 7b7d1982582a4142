"""Estimates from figures that are known exactly."""

from __future__ import annotations

import random

import pytest

from mminf.cost.estimate import Estimate, estimate
from mminf.cost.eta import Expected, Progress, time_left
from mminf.cost.figures import CallFigures, Figures
from mminf.cost.project import EngineTerms, RunTerms
from mminf.cost.refine import EnginePrice, growth, read_prices, sum_cost
from mminf.cost.speed import Slowdown, measure_slowdown

ONE = {"m": EngineTerms("m", "m", capacity=4, gpus=2)}


def call(
    seconds: float = 2.0, tokens: int = 10, step: str = "ask", engine: str = "m", flying: float = 1.0
) -> CallFigures:
    return CallFigures(step, engine, 100, tokens, seconds, flying)


def figures(records: int = 10, accepted: int = 5, calls: int = 2, seconds: float = 2.0) -> Figures:
    """Returns figures of records with equal calls; the first ones are accepted."""
    found = Figures(1)
    for number in range(records):
        found.count_record(0, str(number), [call(seconds)] * calls, calls * seconds)
        if number < accepted:
            found.count_done(0, str(number))
    return found


def terms(records: int = 1000, **more: object) -> RunTerms:
    return RunTerms(**{"records": records, "engines": ONE, "most": [None], **more})  # type: ignore[arg-type]


def test_a_run_costs_in_proportion_to_its_records() -> None:
    found = estimate(figures(), terms())
    assert (found.probed, found.calls.value, found.prompt_tokens.value, found.completion_tokens.value) == (
        10,
        2000,
        200_000,
        20_000,
    )
    assert found.calls.low == found.calls.high == 2000, "all records have the same calls"
    assert found.accepted.value == 500
    assert found.accepted.low < 400 and found.accepted.high > 600, "half of ten records is not certain"
    assert found.engine_seconds.value == 4000
    # 4 calls at a time, and half of the duration of the last record
    assert found.seconds.value == 1000 + 2
    assert found.gpu_hours is not None and found.gpu_hours.value == pytest.approx(2 * 1002 / 3600)
    assert not found.money


def test_a_probe_in_which_no_record_was_accepted_or_all_were_is_not_certain() -> None:
    none, every = estimate(figures(accepted=0), terms()), estimate(figures(accepted=10), terms())
    assert (none.accepted.low, none.accepted.value) == (0, 0)
    assert none.accepted.high == pytest.approx(990 * (1 - 0.05**0.1))
    assert (every.accepted.value, every.accepted.high) == (1000, 1000)
    assert every.accepted.low == pytest.approx(1000 - 990 * (1 - 0.05**0.1))
    assert estimate(figures(accepted=0), terms(10)).accepted.high == 0


def test_nothing_is_uncertain_if_all_records_were_probed() -> None:
    found = estimate(figures(), terms(10))
    assert found.accepted.low == found.accepted.value == found.accepted.high == 5


def test_no_range_leaves_what_a_run_can_give() -> None:
    drawn = random.Random(3)
    for _ in range(150):
        probed = drawn.randint(1, 8)
        records = probed + drawn.choice([0, 1, 5, 20, 1000])
        found, least = Figures(1), 0
        for number in range(probed):
            calls = [call()] * drawn.randint(0, 4)
            found.count_record(0, str(number), calls, 1.0)
            least += len(calls)
            if drawn.random() < 0.5:
                found.count_done(0, str(number))
        estimated, passed = estimate(found, terms(records)), len(found.accepted())
        accepted, calls_made = estimated.accepted, estimated.calls
        assert passed <= accepted.low + 1e-9 and accepted.low <= accepted.value <= accepted.high
        assert accepted.high <= records - (probed - passed) + 1e-9, "records of the probe that were dropped stay so"
        assert least <= calls_made.low + 1e-9


def test_records_with_several_rows_may_give_more_rows_than_records() -> None:
    found = Figures(1)
    for number, rows in enumerate([3, 0, 3]):
        found.count_record(0, str(number), [call()], 1.0)
        for _ in range(rows):
            found.count_done(0, str(number))
    accepted = estimate(found, terms(30)).accepted
    assert accepted.value == 60 < accepted.high <= 6 + 27 * 3


def test_ranges_contain_the_mean_as_often_as_they_say() -> None:
    held = 0
    drawn = random.Random(1)
    for _ in range(60):
        found = Figures(1)
        for number in range(30):
            found.count_record(0, str(number), [call()] * drawn.randint(1, 7), 1.0)
        calls = estimate(found, terms(100_000)).calls
        held += calls.low <= 400_000 <= calls.high
    assert 0.8 <= held / 60 <= 1


def test_no_record_is_no_estimate() -> None:
    with pytest.raises(ValueError, match="no record"):
        estimate(Figures(1), terms())


def test_a_target_ends_a_run_early() -> None:
    found = estimate(figures(), terms(target=100, window=20))
    assert (found.records.value, found.calls.value) == (220, 440), "with the records in flight"
    assert estimate(figures(), terms(target=501)).calls.value == 2000


def test_later_stages_get_what_earlier_ones_have_passed() -> None:
    def staged(most: int | None) -> Estimate:
        found = Figures(3)
        for number in range(10):
            found.count_record(0, str(number), [call()], 2.0)
            found.count_done(0, str(number))
            found.count_input(1, str(number))
            if number < 4:  # a dataset step
                found.count_done(1, str(number))
                found.count_record(2, str(number), [call(step="late")] * 3, 6.0)
                found.count_done(2, str(number))
        return estimate(found, terms(most=[None, most, None]))

    assert (staged(None).calls.value, staged(None).accepted.value) == (1000 + 3 * 400, 400)
    assert (staged(50).calls.value, staged(50).accepted.value) == (1000 + 3 * 50, 50), "the limit of 4 was the probe's"
    assert staged(100_000).calls.value == 1000 + 3 * 1000, "`limit: 100000` drops no record of the run"


def test_money_is_tokens_and_gpus() -> None:
    priced = {
        "m": EngineTerms("m", "m", 4, 2, input_price=5, output_price=50, gpu_price=3, currency="EUR", priced=True),
        "free": EngineTerms("free", "free"),
    }
    found = estimate(figures(), terms(engines=priced))
    assert found.gpu_hours is not None
    assert found.money.keys() == {"EUR"}
    assert found.money["EUR"].value == pytest.approx(1 + 1 + 3 * found.gpu_hours.value)


def test_engines_that_share_a_model_share_its_gpus() -> None:
    found = Figures(1)
    for number in range(10):
        found.count_record(0, str(number), [call(), call(engine="other")], 4.0)
    shared = {
        "m": EngineTerms("m", "m", 4, 2, gpu_price=3, priced=True),
        "other": EngineTerms("other", "m", 4, 2, output_price=100, priced=True),
    }
    together = estimate(found, terms(engines=shared))
    assert together.seconds.value == 1000 + 2
    assert together.gpu_hours is not None and together.gpu_hours.value == pytest.approx(2 * 1002 / 3600)
    assert together.money[""].value == pytest.approx(1 + 3 * 2 * 1002 / 3600)


def test_models_that_are_swapped_work_one_after_the_other() -> None:
    found = Figures(1)
    for number in range(10):
        found.count_record(0, str(number), [call(), call(engine="other", seconds=6)], 8.0)
    two = {
        "m": EngineTerms("m", "m", 4, 1, load_seconds=30, gpu_price=1, priced=True),
        "other": EngineTerms("other", "other", 4, 1, load_seconds=50, gpu_price=1, currency="X", priced=True),
    }
    swapped = estimate(found, terms(engines=two, together=False))
    assert swapped.seconds.value == 500 + 1500 + 4 + 80
    assert swapped.gpu_hours is not None and swapped.gpu_hours.value == pytest.approx(swapped.seconds.value / 3600)
    assert swapped.money["X"].value == pytest.approx(3 * swapped.money[""].value), "by the time that each works"
    beside = estimate(found, terms(engines=two))
    assert beside.seconds.value == pytest.approx(1500 + 0.064 * 500 + 4 + 80)
    assert beside.gpu_hours is not None and beside.gpu_hours.value == pytest.approx(2 * beside.seconds.value / 3600)
    one_gpu = estimate(found, terms(engines=two, gpus=1))
    assert one_gpu.gpu_hours is not None and one_gpu.gpu_hours.value == pytest.approx(one_gpu.seconds.value / 3600)


def decode(number: int, b: float, c: float, drawn: random.Random, spread: float = 0.1) -> list[CallFigures]:
    """Returns calls of an engine with `seconds = 0.1 + tokens * (b + c * in_flight)`."""
    found = []
    for _ in range(number):
        tokens, flying = drawn.randint(20, 300), drawn.uniform(2, 30)
        seconds = (0.1 + tokens * (b + c * flying)) * drawn.lognormvariate(0, spread)
        found.append(call(seconds, tokens, flying=flying))
    return found


@pytest.mark.parametrize("c", [0.0005, 0.002])
def test_a_slowdown_is_measured(c: float) -> None:
    calls = decode(150, 0.01, c, random.Random(3))
    found = measure_slowdown(calls, 200)
    work = sum(item.completion_tokens for item in calls)
    now = sum(item.seconds for item in calls)
    real = (0.1 * len(calls) + work * (0.01 + c * 200)) / now
    assert found.factor == pytest.approx(real, rel=0.15)
    assert found.low <= real <= found.high


def test_no_slowdown_is_expected_without_evidence() -> None:
    found = measure_slowdown(decode(150, 0.02, 0, random.Random(4), spread=0.4), 200)
    assert found.factor == found.low == 1.0
    assert found.high > 1.0, "it can't be excluded"


def test_a_busy_engine_is_the_worst_case() -> None:
    few = [call(2, 10, flying=5)] * 3
    assert measure_slowdown(few, 50) == Slowdown(1, 1, 10)
    assert measure_slowdown([call(2, 10, flying=5)] * 30, 50) == Slowdown(1, 1, 10), "all calls are the same"
    assert measure_slowdown(few, 5) == measure_slowdown(few, 1) == measure_slowdown([], 50) == Slowdown()
    assert measure_slowdown([call(2, 10, flying=0)] * 30, 50) == Slowdown(), "answers from the journal"


def test_calls_without_tokens_slow_down_as_well() -> None:
    drawn = random.Random(5)
    flown = [drawn.uniform(1, 30) for _ in range(60)]
    calls = [call(0.1 * flying * drawn.lognormvariate(0, 0.05), 0, flying=flying) for flying in flown]
    assert measure_slowdown(calls, 100).factor == pytest.approx(100 / 20, rel=0.2)


BASE = Progress(
    total=100, settled=20, resumed=0, measured=20, worked=50, answered=50, final=40, set_aside=0, elapsed=10
)


def test_time_left_counts_the_work_on_records_in_flight() -> None:
    # 80 records with 2 s each, 10 s of them are done; 5 s of work per second
    assert time_left(BASE) == (80 * 2 - 10) / 5
    assert time_left(BASE._replace(total=None)) is None
    assert time_left(BASE._replace(settled=100)) is None
    assert time_left(BASE._replace(worked=0)) is None
    assert time_left(BASE._replace(settled=0, measured=0, final=0)) is None


def test_time_left_uses_a_probe_before_any_record_is_final() -> None:
    begun = BASE._replace(settled=0, measured=0, final=0)
    assert time_left(begun, Expected(30, 2.5)) == (100 * 2.5 - 50) / 5
    mixed = time_left(BASE, Expected(20, 4))
    assert mixed == (80 * 3 - 10) / 5, "the records of the probe count like those of the run"


def test_time_left_of_records_that_are_parked() -> None:
    parked = BASE._replace(set_aside=30, settled=0, measured=0, final=0)
    assert time_left(parked) is None
    assert time_left(parked, Expected(30, 2)) == (200 - 50) / 5
    assert time_left(parked._replace(settled=20, measured=20, final=10)) == 80 * 0.5 / 5, "the last pass"


def test_answers_from_the_journal_take_no_time() -> None:
    resumed = BASE._replace(resumed=10, measured=10, answered=100, final=90, worked=50)
    left = time_left(resumed)
    assert left == (80 * 9 - 10) / 5


def test_the_cost_so_far_grows_with_the_records() -> None:
    assert growth(25, 100) == 4
    assert growth(9, 100) is growth(100, 100) is growth(50, None) is None
    engines = {"a": {"price": {"input": 1, "output": 2.5, "currency": "EUR"}}, "b": {"price": None}, "c": 3}
    assert read_prices({"engines": engines}) == {"a": EnginePrice(1, 2.5, "EUR")}
    assert read_prices({}) == {}
    cost = figures().by_step()["ask"]
    assert sum_cost([(cost, "a", None)])["money"] == {}
    whole = sum_cost([(cost, "a", EnginePrice(1, 10, "EUR")), (cost, "b", None)], 2)
    assert whole["unpriced"] == ["b"]
    assert (whole["calls"], whole["prompt_tokens"], whole["completion_tokens"]) == (80, 8000, 800)
    assert whole["money"] == {"EUR": pytest.approx(2 * (2000 + 10 * 200) / 1e6)}
