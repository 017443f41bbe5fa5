"""Profile of each column: counts, moments, quantiles, frequent values, alerts."""
