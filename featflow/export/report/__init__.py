"""A finished run as one HTML file: figures from its tables, then the page."""
