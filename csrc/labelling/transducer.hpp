// The lattice of the transducer (Graves, 2012): -ln p of a transcript and its derivative.
#pragma once
#include <cstdint>

namespace carousel {

// Of B samples on some threads. At (t, u), frame t having been reached with u labels written: `blank` (T, B, U + 1) the
// log-probability to go on to the next frame, `label` (T, B, U + 1) that to write label u + 1. Both are replaced by the
// derivatives of the loss; where no path goes they are zero.
template <class Float>
void transducer_losses(Float* blank, Float* label, int64_t T, int64_t B, int64_t U1, const int64_t* frames,
                       const int64_t* labels, Float* losses, int threads);

}  // namespace carousel
