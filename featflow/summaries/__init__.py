"""Mergeable summaries, one a file; `SUMMARIZERS` is the catalogue that the laws are tested over."""

from featflow.summaries.class_moments import ClassMoments, ClassMomentsSummarizer
from featflow.summaries.codes import CodesSummarizer
from featflow.summaries.comoments import CoMoments, CoMomentsSummarizer, RankCoMomentsSummarizer
from featflow.summaries.equal_rows import EqualRows, EqualRowsSummarizer
from featflow.summaries.grouped_moments import GroupedMoments, GroupedMomentsSummarizer
from featflow.summaries.levels import Levels, LevelsSummarizer
from featflow.summaries.moments import Moments, MomentsSummarizer
from featflow.summaries.pair_counts import PairCounts, PairCountsSummarizer
from featflow.summaries.pair_counts_by_group import PairCountsByGroup, PairCountsByGroupSummarizer
from featflow.summaries.pair_moments_by_group import PairMomentsByGroupSummarizer, PairRankMomentsByGroupSummarizer
from featflow.summaries.protocol import Spec, Summarizer, Summary, Worker, digest
from featflow.summaries.row_counts import RowCount, RowCountSummarizer
from featflow.summaries.rows import Rows, RowsSpec, StoredSummarizer
from featflow.summaries.sketches.quantile_sketches import QuantileSketches, QuantileSketchSummarizer
from featflow.summaries.target_counts import TargetCounts, TargetCountsSummarizer
from featflow.summaries.time_counts import TimeCounts, TimeCountsSummarizer
from featflow.summaries.value_histograms import ValueHistograms, ValueHistogramsSummarizer
from featflow.summaries.vector_moments import VectorMoments, VectorMomentsSummarizer
from featflow.summaries.vector_sample import VectorSample, VectorSampleSummarizer

__all__ = [
    "SUMMARIZERS",
    "ClassMoments",
    "ClassMomentsSummarizer",
    "CoMoments",
    "CoMomentsSummarizer",
    "CodesSummarizer",
    "EqualRows",
    "EqualRowsSummarizer",
    "GroupedMoments",
    "GroupedMomentsSummarizer",
    "Levels",
    "LevelsSummarizer",
    "Moments",
    "MomentsSummarizer",
    "PairCounts",
    "PairCountsByGroup",
    "PairCountsByGroupSummarizer",
    "PairCountsSummarizer",
    "PairMomentsByGroupSummarizer",
    "PairRankMomentsByGroupSummarizer",
    "QuantileSketchSummarizer",
    "QuantileSketches",
    "RankCoMomentsSummarizer",
    "RowCount",
    "RowCountSummarizer",
    "Rows",
    "RowsSpec",
    "Spec",
    "StoredSummarizer",
    "Summarizer",
    "Summary",
    "TargetCounts",
    "TargetCountsSummarizer",
    "TimeCounts",
    "TimeCountsSummarizer",
    "ValueHistograms",
    "ValueHistogramsSummarizer",
    "VectorMoments",
    "VectorMomentsSummarizer",
    "VectorSample",
    "VectorSampleSummarizer",
    "Worker",
    "digest",
]

SUMMARIZERS = (
    EqualRowsSummarizer,
    ClassMomentsSummarizer,
    CodesSummarizer,
    CoMomentsSummarizer,
    GroupedMomentsSummarizer,
    PairCountsByGroupSummarizer,
    PairMomentsByGroupSummarizer,
    PairRankMomentsByGroupSummarizer,
    LevelsSummarizer,
    MomentsSummarizer,
    PairCountsSummarizer,
    QuantileSketchSummarizer,
    ValueHistogramsSummarizer,
    RankCoMomentsSummarizer,
    RowCountSummarizer,
    StoredSummarizer,
    TargetCountsSummarizer,
    TimeCountsSummarizer,
    VectorMomentsSummarizer,
    VectorSampleSummarizer,
)
"""Every spec of this folder."""
