"""What all experiments of the 1997 paper share: whose they are, and what is counted."""

from carousel.reproduce.experiment import Measure

SEQUENCES, SOLVED = Measure("sequences", "lower"), Measure("solved", "higher", "share")
WRONG, SQUARED = Measure("wrong", "lower", "count"), Measure("squared error", "lower")
CITATION = (
    "Hochreiter & Schmidhuber, Long short-term memory, Neural Computation 9(8), 1997, doi:10.1162/neco.1997.9.8.1735"
)
