"""The profile of vectors against numpy, scipy and scikit-learn, and planted ranks and classes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import f_classif
from vectors import VECTOR, batch_of, label_coding, merged

from featflow.analyses.embedding_profile.classifier import classifier
from featflow.analyses.embedding_profile.table import (
    ImageStates,
    TargetStates,
    class_names,
    embedding_profile,
    fisher_ratios,
)
from featflow.analyses.embedding_profile.tables import EMBEDDING_PROFILE
from featflow.columns.binning import hashed_coding
from featflow.columns.column import Column, Kind
from featflow.measures.classification import classified
from featflow.summaries import ClassMomentsSummarizer, VectorMomentsSummarizer
from featflow.summaries.class_moments import labelled

ROWS, WIDTH, LEVELS = 900, 10, ("a", "b", "c")
CODING = label_coding(LEVELS)


def data(rows=ROWS):
    random = np.random.default_rng(0)
    classes = random.choice(3, rows, p=[0.2, 0.3, 0.5])
    values = random.normal(size=(3, WIDTH))[classes] + random.normal(size=(rows, WIDTH))
    return (values * 4.0 ** np.arange(-5, 5) + 1).astype(np.float32), classes


def profile(values, classes=None, **kept):
    width = values.shape[1]
    labels = None if classes is None else np.array(LEVELS, object)[classes]
    batch = batch_of(values, labels=labels, **kept)
    targets = () if classes is None else (_target(batch, width),)
    moments = merged(VectorMomentsSummarizer(VECTOR, width), batch, 250)
    table = embedding_profile([ImageStates("photo", "mine", moments, targets)])
    assert table.schema.equals(EMBEDDING_PROFILE.schema, check_metadata=True)
    return table.to_pylist()[0]


def _target(batch, width):
    """Two folds: each half's rows are classified by what the other half gives."""
    spec, half = ClassMomentsSummarizer(VECTOR, width, CODING), batch.num_rows // 2
    halves = batch.slice(0, half), batch.slice(half)
    states = [spec.summarize(each) for each in halves]
    counts = [
        classified(classifier(other), *rows, np.ones(len(rows[1]), np.int64))
        for rows, other in zip((labelled(each, VECTOR, CODING) for each in halves), states[::-1], strict=True)
    ]
    return TargetStates(CODING, states[0].merge(states[1]), counts[0].merge(counts[1]))


def numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    return [n for each in value for n in numbers(each)] if isinstance(value, list) else [value]


def test_moments_and_spectrum_are_those_of_numpy():
    values, _ = data()
    row, exact = profile(values), values.astype(float)
    covariance = np.cov(exact.T)
    spectrum = np.linalg.svd(exact - exact.mean(axis=0), compute_uv=False) ** 2 / (ROWS - 1)
    np.testing.assert_allclose(row["centroid"], exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(row["variance"], np.diagonal(covariance), rtol=1e-10)
    np.testing.assert_allclose(row["spectrum"], spectrum, rtol=1e-9, atol=1e-13 * spectrum[0])
    shares = spectrum / spectrum.sum()
    assert row["effective_rank"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    counts, _ = np.histogram(np.linalg.norm(exact, axis=1), row["norm_edges"])
    np.testing.assert_array_equal(row["norm_counts"], counts)
    assert counts.sum() == ROWS
    assert row["prefix"] == [1, 2, 4, 8, 10]
    variances = exact.var(axis=0)
    expected = [variances[:length].sum() / variances.sum() for length in row["prefix"]]
    np.testing.assert_allclose(row["prefix_variance"], expected, rtol=1e-10)
    assert row["width"] == WIDTH
    assert row["targets"] == []


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_a_planted_rank_is_the_effective_rank(rank):
    random = np.random.default_rng(1)
    axes, _ = np.linalg.qr(random.normal(size=(WIDTH, rank)))
    row = profile((random.normal(size=(3_000, rank)) @ axes.T).astype(np.float32))
    assert row["effective_rank"] == pytest.approx(rank, rel=0.01)
    assert max(row["spectrum"][rank:]) < 1e-12


def test_rows_reconcile_and_dead_dimensions_are_counted():
    values, _ = data(100)
    values[:, [1, 4]], values[3, 2], values[8, 9] = 0.3, np.nan, np.inf
    absent = np.zeros(100, bool)
    absent[10:17] = True
    row = profile(values, absent=absent)
    assert (row["rows"], row["valid"], row["failed"], row["nonfinite"]) == (100, 91, 7, 2)
    assert row["dead_dimensions"] == 2
    assert row["variance"][1] == row["variance"][4] == 0


def test_classes_are_those_of_numpy():
    values, classes = data()
    (target,) = profile(values, classes)["targets"]
    assert [each["class"] for each in target["classes"]] == list(LEVELS)
    for index, each in enumerate(target["classes"]):
        some = values[classes == index].astype(float)
        assert each["n"] == len(some)
        np.testing.assert_allclose(each["centroid"], some.mean(axis=0), rtol=1e-11)
        assert each["scatter"] == pytest.approx(((some - some.mean(axis=0)) ** 2).sum(axis=1).mean(), rel=1e-9)
    assert target["majority_share"] == pytest.approx((classes == 2).mean())


def test_fishers_ratios_are_those_of_the_analysis_of_variance():
    values, classes = data()
    (target,) = profile(values, classes)["targets"]
    ratios = f_classif(values - values.mean(axis=0, dtype=float), classes)[0] * 2 / (ROWS - 3)
    np.testing.assert_allclose(target["fisher_by_dimension"], ratios, rtol=1e-8)
    within = np.sqrt(sum(values[classes == k].astype(float).var(axis=0) * (classes == k).mean() for k in range(3)))
    unit = values / within
    means = np.array([unit[classes == k].mean(axis=0) for k in range(3)])
    between = np.cov(means.T, aweights=np.bincount(classes), ddof=0)
    inside = sum(np.cov(unit[classes == k].T, ddof=0) * (classes == k).mean() for k in range(3))
    assert target["fisher_ratio"] == pytest.approx(np.trace(between) / np.trace(inside), rel=1e-8)
    (scaled,) = profile(values * np.float32(1024), classes)["targets"]
    assert scaled["fisher_ratio"] == pytest.approx(target["fisher_ratio"], rel=1e-9)


def test_accuracies_are_held_out():
    values, classes = data()
    (target,) = profile(values, classes)["targets"]
    half, right = ROWS // 2, 0
    for train, test in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
        theirs = LinearDiscriminantAnalysis().fit(values[train].astype(float), classes[train])
        right += (theirs.predict(values[test]) == classes[test]).sum()
    assert target["linear_probe_accuracy"] == pytest.approx(right / ROWS, abs=0.01)
    assert target["prefix_accuracy"][-1] == target["nearest_mean_accuracy"]
    assert len(target["prefix_accuracy"]) == 5
    assert target["held_out_rows"] == ROWS


def test_vectors_that_say_nothing_are_right_by_chance():
    values, classes = data()
    (target,) = profile(values, np.random.default_rng(5).permutation(classes))["targets"]
    chance = (np.bincount(classes) / ROWS).max()
    assert target["nearest_mean_accuracy"] < chance
    assert target["linear_probe_accuracy"] < chance + 3 * np.sqrt(chance / ROWS)
    assert target["fisher_ratio"] == pytest.approx(2 / (ROWS - 3), rel=0.6)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_what_does_not_exist_is_null(rows):
    values = np.full((rows, WIDTH), 3.0, np.float32)
    row = profile(values, np.zeros(rows, int))
    assert (row["rows"], row["valid"]) == (rows, rows)
    assert (row["centroid"] is None) == (rows == 0)
    assert (row["variance"] is None) == (row["dead_dimensions"] is None) == (rows < 2)
    assert row["effective_rank"] is None
    assert row["prefix_variance"] is None
    (target,) = row["targets"]
    assert target["fisher_ratio"] is None
    assert target["fisher_by_dimension"] == [None] * WIDTH
    assert (target["linear_probe_accuracy"] is None) == (rows == 0)
    assert all(value is None or isinstance(value, str) or np.isfinite(value) for value in numbers(row))


def test_a_dimension_without_spread_within_classes_has_no_ratio():
    values, classes = data()
    values[:, 0], values[:, 1] = classes, 0.1
    (target,) = profile(values, classes)["targets"]
    assert target["fisher_by_dimension"][:2] == [None, None]
    assert target["fisher_ratio"] == pytest.approx(np.mean(target["fisher_by_dimension"][2:]))


def test_no_images_make_no_rows():
    assert embedding_profile([]).equals(pa.table([[]] * len(EMBEDDING_PROFILE.schema), EMBEDDING_PROFILE.schema))


def test_classes_of_too_many_levels_are_named_as_far_as_they_are_known():
    heavy = np.array([7, 2**40], np.uint64), np.array([50, 40])
    column = Column("y", "string", Kind.CATEGORY)
    names = class_names(hashed_coding(column, np.full(4, 30), heavy, 4))
    assert len(names) == 4
    assert set(names) <= {"other", "hash 0000000000000007", f"hash {2**40:016x}"}
    many = class_names(label_coding([f"{index:03d}" for index in range(100)]))
    assert many == [*(f"{index:03d}" for index in range(15)), "other"]


def test_ratios_do_not_depend_on_an_offset():
    values, classes = data()
    shifted = (values[:, 5:] * 64).round()
    spec = ClassMomentsSummarizer(VECTOR, 5, CODING)
    near, far = (
        fisher_ratios(spec.summarize(batch_of(each, labels=np.array(LEVELS, object)[classes])))
        for each in (shifted, shifted + 2**20)
    )
    np.testing.assert_allclose(near, far, rtol=1e-9)
