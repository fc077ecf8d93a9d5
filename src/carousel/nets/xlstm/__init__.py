"""xLSTM: residual blocks around the two cells with exponential gates, and the stack of them.

Beck et al., "xLSTM: extended long short-term memory", 2024, arXiv:2405.04517.
"""

from carousel.nets.xlstm.mlstm_block import MLSTMBlock
from carousel.nets.xlstm.slstm_block import SLSTMBlock
from carousel.nets.xlstm.stack import XLSTM

__all__ = ["XLSTM", "MLSTMBlock", "SLSTMBlock"]
