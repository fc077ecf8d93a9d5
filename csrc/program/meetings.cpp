// Where threads that share the rows of a step have to wait for each other.
//
// In a tile phase a thread has the same columns of all operands; in a row phase it has whole rows. What one thread wrote
// and another reads, or the other way round, needs a meeting in between. What a thread does to its own columns or rows
// in several phases needs none: an LSTM's step has one meeting, forward and backward.
#include <algorithm>
#include <utility>

#include "program/program.hpp"

namespace carousel {
namespace {

struct Access {
    int storage;         // what memory: see storage_of
    bool write;
    int64_t part;        // width of the tile phase whose column split it follows, kRows, or kAll: any of it
    int64_t offset, width;  // columns of the storage
    bool of_step;        // at another step it is another memory
};

constexpr int64_t kRows = -1, kAll = 0;

bool apart(const Access& a, const Access& b) {
    if (a.storage != b.storage || !(a.write || b.write)) return true;
    if (a.offset + a.width <= b.offset || b.offset + b.width <= a.offset) return true;
    if (a.part == kRows || b.part == kRows) return a.part == b.part;
    return a.part != kAll && a.part == b.part && a.offset == b.offset;
}

class Meetings {
  public:
    explicit Meetings(Program& program) : program_(program) {}

    // The loop's phases over and over, until no meeting is added: those of the next step follow those of this one.
    void plan() {
        for (bool changed = true; changed;) {
            changed = false;
            for (Phase& phase : program_.loop) changed |= visit(phase);
            auto gone = [](const Access& a) { return a.of_step; };
            since_.erase(std::remove_if(since_.begin(), since_.end(), gone), since_.end());
            changed |= !std::exchange(wrapped_, true);
        }
    }

  private:
    bool visit(Phase& phase) {
        std::vector<Access> now = accesses(phase);
        auto clash = [&](const Access& a) {
            return std::any_of(since_.begin(), since_.end(), [&](const Access& b) { return !apart(a, b); });
        };
        const bool added = !phase.meet && std::any_of(now.begin(), now.end(), clash);
        phase.meet |= added;
        if (phase.meet) since_.clear();
        for (const Access& a : now) {
            auto same = [&](const Access& b) {
                return a.storage == b.storage && a.write == b.write && a.part == b.part && a.offset == b.offset &&
                       a.width == b.width;
            };
            if (std::none_of(since_.begin(), since_.end(), same)) since_.push_back(a);
        }
        return added;
    }

    std::vector<Access> accesses(const Phase& phase) const {
        std::vector<Access> found;
        for (size_t i = 0; i < phase.lookups.size(); ++i) {
            if (phase.lookups[i] < 0) continue;
            Access a = access(phase.lookups[i]);
            if (!phase.is_tile) {
                a.part = kRows;
                a.write = i < phase.results;
                found.push_back(a);
            } else if (i < phase.operands.size() && !phase.operands[i].broadcast) {
                a.part = phase.code.width;
                a.write = phase.operands[i].written;
                found.push_back(a);
            } else {
                found.push_back(a);
            }
        }
        return found;
    }

    Access access(int value) const {
        const Value& v = program_.values[size_t(value)];
        const int externals = int(program_.externals.size()), states = int(program_.states.size());
        Access a{0, false, kAll, v.offset, v.width, false};
        switch (v.kind) {
            case Kind::previous:
            case Kind::next: {
                const int kept = program_.states[size_t(v.extra)].kept;
                a.storage = kept >= 0 ? kept : externals + v.extra;
                break;
            }
            case Kind::carry:
            case Kind::carry_out: a.storage = externals + states + v.extra; break;
            case Kind::block:
            case Kind::line:
                a.storage = externals + 2 * states + v.object;
                a.of_step = v.kind == Kind::block;
                break;
            case Kind::step: {
                a.storage = v.extra;
                auto keeps = [&](const State& s) { return s.kept == v.extra; };
                a.of_step = std::none_of(program_.states.begin(), program_.states.end(), keeps);
                break;
            }
            default: a.storage = -1;  // numbers, vectors and the like are never written
        }
        return a;
    }

    Program& program_;
    std::vector<Access> since_;  // the last meeting
    bool wrapped_ = false;
};

}  // namespace

void Program::plan_meetings() { Meetings(*this).plan(); }

}  // namespace carousel
