"""Mergeable summaries, one a file; `SUMMARIZERS` is the catalogue that the laws are tested over."""

from featflow.summaries.agreement import Agreement, AgreementSummarizer
from featflow.summaries.class_moments import ClassMoments, ClassMomentsSummarizer
from featflow.summaries.classification import Classification, ClassificationSummarizer, Classifier
from featflow.summaries.codes import Codes, CodesSummarizer
from featflow.summaries.comoments import CoMoments, CoMomentsSummarizer, RankCoMomentsSummarizer
from featflow.summaries.contingency import TargetCounts, TargetCountsSummarizer
from featflow.summaries.embeddings import Embeddings, EmbeddingsSummarizer
from featflow.summaries.grouped import GroupedMoments, GroupedMomentsSummarizer
from featflow.summaries.kept_counts import KeptCounts, KeptCountsSummarizer
from featflow.summaries.kept_moments import KeptMomentsSummarizer, KeptRankMomentsSummarizer
from featflow.summaries.levels import Levels, LevelsSummarizer
from featflow.summaries.moments import Moments, MomentsSummarizer
from featflow.summaries.pair_counts import PairCounts, PairCountsSummarizer
from featflow.summaries.projections import Projections, ProjectionsSummarizer
from featflow.summaries.protocol import Summarizer, Summary, absorb, digest
from featflow.summaries.quantiles import Quantiles, QuantilesSummarizer
from featflow.summaries.sketches import DistinctSummarizer, FrequentSummarizer, QuantileSketchSummarizer, Sketches
from featflow.summaries.time_counts import TimeCounts, TimeCountsSummarizer
from featflow.summaries.vector_moments import VectorMoments, VectorMomentsSummarizer
from featflow.summaries.vector_sample import VectorSample, VectorSampleSummarizer

__all__ = [
    "SUMMARIZERS",
    "Agreement",
    "AgreementSummarizer",
    "ClassMoments",
    "ClassMomentsSummarizer",
    "Classification",
    "ClassificationSummarizer",
    "Classifier",
    "CoMoments",
    "CoMomentsSummarizer",
    "Codes",
    "CodesSummarizer",
    "DistinctSummarizer",
    "Embeddings",
    "EmbeddingsSummarizer",
    "FrequentSummarizer",
    "GroupedMoments",
    "GroupedMomentsSummarizer",
    "KeptCounts",
    "KeptCountsSummarizer",
    "KeptMomentsSummarizer",
    "KeptRankMomentsSummarizer",
    "Levels",
    "LevelsSummarizer",
    "Moments",
    "MomentsSummarizer",
    "PairCounts",
    "PairCountsSummarizer",
    "Projections",
    "ProjectionsSummarizer",
    "QuantileSketchSummarizer",
    "Quantiles",
    "QuantilesSummarizer",
    "RankCoMomentsSummarizer",
    "Sketches",
    "Summarizer",
    "Summary",
    "TargetCounts",
    "TargetCountsSummarizer",
    "TimeCounts",
    "TimeCountsSummarizer",
    "VectorMoments",
    "VectorMomentsSummarizer",
    "VectorSample",
    "VectorSampleSummarizer",
    "absorb",
    "digest",
]

SUMMARIZERS = (
    AgreementSummarizer,
    ClassificationSummarizer,
    ClassMomentsSummarizer,
    CodesSummarizer,
    CoMomentsSummarizer,
    DistinctSummarizer,
    EmbeddingsSummarizer,
    FrequentSummarizer,
    GroupedMomentsSummarizer,
    KeptCountsSummarizer,
    KeptMomentsSummarizer,
    KeptRankMomentsSummarizer,
    LevelsSummarizer,
    MomentsSummarizer,
    PairCountsSummarizer,
    ProjectionsSummarizer,
    QuantileSketchSummarizer,
    QuantilesSummarizer,
    RankCoMomentsSummarizer,
    TargetCountsSummarizer,
    TimeCountsSummarizer,
    VectorMomentsSummarizer,
    VectorSampleSummarizer,
)
"""Every spec there is."""
