"""What other systems read of a run: a Feast repository, OpenLineage events, Delta and Iceberg tables."""
