"""Tables of formats that keep their own list of files: Delta and Iceberg.

A source that begins with ``delta:`` or ``iceberg:`` is read as its table says, not as its folder looks: nothing is
listed, files that the table does not hold any more are not read, and neither are its deleted rows.
"""
