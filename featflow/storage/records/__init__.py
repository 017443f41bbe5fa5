"""What is kept at an output, read back: one module a kind of file, each with a model whose fields have bounds.

An output can be damaged, half written, of another release or hostile. So nothing else parses a file of an output: what
these modules return has been checked, and what they raise names the file and says what to do.
"""
