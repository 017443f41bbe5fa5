"""Joint counts of all pairs of coded columns: two kernels, and the rule that picks one; nothing else is known here."""

from featflow.counting.choice import Kernel, choose_kernel, default_device, pair_tables
from featflow.counting.histograms import histogram, histogram_tables
from featflow.counting.plans import TAIL_CELLS
from featflow.counting.products import one_hot_product, product_tables
from featflow.counting.rows import CodedColumns, CodedRows
from featflow.counting.threads import Spares, in_threads

__all__ = [
    "TAIL_CELLS",
    "CodedColumns",
    "CodedRows",
    "Kernel",
    "Spares",
    "choose_kernel",
    "default_device",
    "histogram",
    "histogram_tables",
    "in_threads",
    "one_hot_product",
    "pair_tables",
    "product_tables",
]
