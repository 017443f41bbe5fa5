"""The files of a dataset as Parquet, whatever its sources hold."""

from __future__ import annotations

from dataclasses import replace

from featflow.dataset.conversion import FOLDER, as_parquet
from featflow.dataset.files import DataFile
from featflow.dataset.footer import FooterFault
from featflow.dataset.formats import FRAME
from featflow.dataset.listing import Listing, list_data_files
from featflow.dataset.options import DatasetOptions
from featflow.dataset.pictures import picture_tables
from featflow.errors import ConfigurationError, DatasetError
from featflow.storage.store import Store

__all__ = ["data_files"]

FRAME_PLACE = "frame.parquet"
"""Place of a frame in its dataset: results are those of a file of this name."""


def data_files(options: DatasetOptions, sources: list[str], output: str | None) -> tuple[Listing, list[FooterFault]]:
    """Return the files of all sources, those that are no Parquet converted, and those that cannot be.

    Parameters
    ----------
    sources
        Those of the dataset's sources that are no tables.
    output
        Where runs are written, and converted files; files below it are not read as input.

    Raises
    ------
    ConfigurationError
        Files are to be converted, and there is no output.
    DatasetError
        A source does not exist, or holds nothing to read.
    InfrastructureError
        Storage did not answer, or a file changed while it was converted.
    """
    if sources and sources[0].startswith(FRAME):
        return Listing((_frame(sources[0], _store(options, output)),)), []
    listing = list_data_files(sources, options.storage_options, output, options.format)
    files = listing.files
    if all(file.format == "parquet" for file in files):
        return listing, []
    if files[0].format == "pictures":
        return replace(listing, files=tuple(picture_tables(files, _store(options, output), FOLDER))), []
    converted, faults = as_parquet(files, options, _store(options, output))
    return replace(listing, files=tuple(converted)), faults


def _store(options: DatasetOptions, output: str | None) -> Store:
    if output is None:
        raise ConfigurationError("output: what is no Parquet is converted below it; name one")
    return Store(output, options.storage_options)


def _frame(source: str, store: Store) -> DataFile:
    """Return the Parquet file of a frame that was given to `featflow.run`, by its digest."""
    digest = source.removeprefix(FRAME)
    path = f"{FOLDER}/{digest}.parquet"
    size = store.sizes(FOLDER).get(path)
    if size is None:
        raise DatasetError(f"{source}: no such frame at {store.root} any more; give it to featflow.run again")
    return DataFile(source, size, digest, (), FRAME_PLACE, "frame", store.absolute(path))
