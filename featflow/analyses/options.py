"""Which analyses run, and how: one field each. Light: read before torch or Ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field, create_model

from featflow.analyses.base_options import AnalysisOptions, Metric
from featflow.analyses.correlation.options import CorrelationOptions
from featflow.analyses.drift.options import DriftOptions
from featflow.analyses.embedding.options import EmbeddingOptions
from featflow.analyses.embedding_profile.options import EmbeddingProfileOptions
from featflow.analyses.group.options import GroupOptions
from featflow.analyses.information_value.options import InformationValueOptions
from featflow.analyses.interaction.options import InteractionOptions
from featflow.analyses.profile.options import ProfileOptions
from featflow.analyses.ranking.options import RankingOptions
from featflow.analyses.selection.options import SelectionOptions
from featflow.errors import ConfigurationError
from featflow.measures.options import UncertaintyOptions
from featflow.option_types import Options, switch

if TYPE_CHECKING:
    from featflow.dataset.dataset import Dataset

__all__ = ["METRICS", "Analyses", "options_of"]


class _Compared(Options):
    """All analyses but drift, which compares them."""

    profile: Annotated[ProfileOptions | None, switch(ProfileOptions)] = ProfileOptions()
    ranking: Annotated[RankingOptions | None, switch(RankingOptions)] = RankingOptions()
    information_value: Annotated[InformationValueOptions | None, switch(InformationValueOptions)] = None
    correlation: Annotated[CorrelationOptions | None, switch(CorrelationOptions)] = CorrelationOptions()
    group: Annotated[GroupOptions | None, switch(GroupOptions)] = None
    interaction: Annotated[InteractionOptions | None, switch(InteractionOptions)] = InteractionOptions()
    selection: Annotated[SelectionOptions | None, switch(SelectionOptions)] = None
    embedding: Annotated[EmbeddingOptions | None, switch(EmbeddingOptions)] = EmbeddingOptions()
    embedding_profile: Annotated[EmbeddingProfileOptions | None, switch(EmbeddingProfileOptions)] = (
        EmbeddingProfileOptions()
    )


def options_of(name: str) -> type[Any]:
    """Return the options of an analysis."""
    return _option_types(Analyses)[name]


def _option_types(model: type[Options]) -> dict[str, type[Any]]:
    """Return the options of each field that may be switched off."""
    types = ((name, get_args(field.annotation)) for name, field in model.model_fields.items())
    return {name: of[0] for name, of in types if of}


def _metrics() -> dict[str, Metric]:
    return {name: metric for kind in _option_types(_Compared).values() for name, metric in kind.metrics.items()}


METRICS = _metrics()
"""Figures that drift compares, of all analyses."""

_FIELDS: dict[str, Any] = {
    name: (Annotated[float | None, Field(ge=0)], Field(default=metric.threshold, description=metric.description))
    for name, metric in METRICS.items()
}
DriftThresholds: Any = create_model(
    "DriftThresholds",
    __base__=Options,
    __doc__="Largest |value| of each metric that raises no alert; null raises none at all.",
    **_FIELDS,
)


class _Drift(DriftOptions):
    """The drift table."""

    thresholds: DriftThresholds = Field(
        default=DriftThresholds(), description="Largest |value| of each metric that raises no alert; null for none."
    )


class Analyses(_Compared):
    """Which results to compute: ``true``, ``false`` or the options of each."""

    drift: Annotated[_Drift | None, switch(_Drift)] = _Drift()
    uncertainty: UncertaintyOptions = UncertaintyOptions()

    def check(self, dataset: Dataset, entity: list[str]) -> None:
        """Raise SchemaError if an analysis names a column that is not there, or that cannot serve.

        Parameters
        ----------
        entity
            Join keys that the configuration names.
        """
        for name in type(self).model_fields:
            options = getattr(self, name)
            if isinstance(options, AnalysisOptions):
                options.check(dataset, self.uncertainty)
        self.uncertainty.check(dataset, entity)

    @property
    def of_pairs(self) -> bool:
        """Whether any analysis looks at every pair of columns."""
        return any(getattr(getattr(self, name), "of_pairs", False) for name in type(self).model_fields)

    @property
    def of_runs(self) -> bool:
        """Whether any analysis says how runs differ."""
        return any(getattr(getattr(self, name), "of_runs", False) for name in type(self).model_fields)

    def only(self, names: Sequence[str]) -> Analyses:
        """Return the same with all analyses off but those named, which are on as configured or by default.

        Raises
        ------
        ConfigurationError
            A name is no analysis; the message lists those there are.
        """
        known = [name for name in type(self).model_fields if name != "uncertainty"]
        for name in names:
            if name not in known:
                raise ConfigurationError(f"no analysis '{name}'; analyses are {', '.join(known)}")
        chosen = {name: getattr(self, name) or options_of(name)() if name in names else None for name in known}
        return self.model_copy(update=chosen)
