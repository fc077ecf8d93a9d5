"""Learning on-line, without unrolling: real-time recurrent learning and its truncated forms, derived from a net's
equations and run by the compiled core."""

from carousel.train.online.kalman import Kalman
from carousel.train.online.net import Online
from carousel.train.online.readout import readout
from carousel.train.online.rules import SGD, Rule

__all__ = ["Kalman", "SGD", "Online", "Rule", "readout"]
