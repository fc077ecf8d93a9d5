// The part of the Python module that recognises.
#pragma once
#include <nanobind/nanobind.h>

namespace carousel {

void add_labelling(nanobind::module_& m);

}  // namespace carousel
