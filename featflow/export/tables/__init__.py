"""A run's tables as Delta or Iceberg tables: one of each name, to which every run is appended under its id."""
