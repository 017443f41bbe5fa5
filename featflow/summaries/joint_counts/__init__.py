"""Joint counts of all pairs of coded columns: two kernels, and the rule that picks one; nothing else is known here."""

from featflow.summaries.joint_counts.coded_rows import CodedColumns, CodedRows
from featflow.summaries.joint_counts.histogram_plan import TAIL_CELLS
from featflow.summaries.joint_counts.histograms import histogram_tables
from featflow.summaries.joint_counts.kernel_choice import Kernel, choose_kernel, default_device, pair_tables
from featflow.summaries.joint_counts.packed_codes import code_type, histogram, join_codes
from featflow.summaries.joint_counts.threads import Spares, in_threads

__all__ = [
    "TAIL_CELLS",
    "CodedColumns",
    "CodedRows",
    "Kernel",
    "Spares",
    "choose_kernel",
    "code_type",
    "default_device",
    "histogram",
    "histogram_tables",
    "in_threads",
    "join_codes",
    "pair_tables",
]
