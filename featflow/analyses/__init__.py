"""One folder an analysis: options, tables, which summaries, scores, drift, report section, terminal view."""
