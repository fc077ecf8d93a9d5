// On-line learning for Python.
#pragma once
#include <nanobind/nanobind.h>

namespace carousel::online {

void add_to(nanobind::module_& m);

}  // namespace carousel::online
