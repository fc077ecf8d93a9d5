#include "run/binding.hpp"

#include <stdexcept>
#include <string>

namespace carousel {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument("binding: " + what); }

// How many strides are read of a tensor that stands for an external: the last ones.
size_t axes_of(Shape shape) { return shape == Shape::step ? 3 : shape == Shape::vector ? 1 : 2; }

// The two strides that the executor wants: of steps and rows of the batch, or of rows and columns of a matrix.
void add_strides(Shape shape, const Tensor& t, std::vector<int64_t>& out) {
    const int64_t* end = t.data() + t.size();
    const bool two = shape == Shape::step || shape == Shape::matrix;
    out.push_back(shape == Shape::step ? end[-3] : two ? end[-2] : 0);
    out.push_back(shape == Shape::matrix ? end[-1] : shape == Shape::vector ? 0 : end[-2]);
}

}  // namespace

void Binding::add(const Program& program, bool reverse, Places places) {
    if (places.size() != program.externals.size())
        fail(std::to_string(places.size()) + " places for " + std::to_string(program.externals.size()) + " externals");
    bound_.push_back({program, reverse, std::move(places)});
}

std::vector<Run> Binding::runs(const std::vector<Tensor>& tensors, int64_t element_bytes) const {
    std::vector<Run> runs;
    for (const Bound& bound : bound_) {
        Run& run = runs.emplace_back(Run{bound.program, {}});
        run.arguments.reverse = bound.reverse;
        run.arguments.pointers.reserve(bound.places.size());
        run.arguments.strides.reserve(2 * bound.places.size());
        for (size_t i = 0; i < bound.places.size(); ++i) {
            const auto [index, lead, column] = bound.places[i];
            const External& external = bound.program.externals[i];
            if (index >= int(tensors.size())) fail("external \"" + external.name + "\" is a tensor that was not given");
            if (index < 0 || tensors[size_t(index)].empty()) {
                run.arguments.pointers.push_back(0);
                run.arguments.strides.insert(run.arguments.strides.end(), {0, 0});
                continue;
            }
            const Tensor& t = tensors[size_t(index)];
            if (t.size() < 1 + axes_of(external.shape)) fail("external \"" + external.name + "\" has too few axes");
            run.arguments.pointers.push_back(uintptr_t(t[0] + (lead * t[1] + column) * element_bytes));
            add_strides(external.shape, t, run.arguments.strides);
        }
    }
    return runs;
}

}  // namespace carousel
