"""Images to vectors and to columns of numbers: decoding, encoders, and how their results join the table."""
