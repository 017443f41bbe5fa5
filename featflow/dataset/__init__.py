"""Sources to files to columns, shards and batches."""
