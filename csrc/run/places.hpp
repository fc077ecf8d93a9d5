// Where the rows of each value lie during one call: addresses from a step and a row of the batch.
#pragma once
#include <numeric>
#include <vector>

#include "run/arena.hpp"
#include "program/program.hpp"
#include "run/timeline.hpp"

namespace carousel {

struct Arguments {
    int64_t T = 0, B = 0;
    bool reverse = false;
    std::vector<uintptr_t> pointers;  // one an external
    std::vector<int64_t> strides;     // two an external, in elements
    const int64_t* lengths = nullptr;
    const uint8_t* resets = nullptr;

    // Steps of all rows together.
    int64_t total_rows() const { return lengths ? std::accumulate(lengths, lengths + B, int64_t(0)) : T * B; }
};

// Rows in scratch are whole vectors, and not a power of two apart: those would meet in the same lines of the cache.
template <class T>
int64_t padded(int64_t width) {
    constexpr int64_t line = 64 / int64_t(sizeof(T));
    int64_t stride = (width + line - 1) / line * line;
    return stride * int64_t(sizeof(T)) % 1024 == 0 ? stride + line : stride;
}

template <class T>
class Places {
  public:
    Places(const Program& program, const Arguments& arguments, const Timeline& time, int64_t block_steps, Arena& arena)
        : program_(program), time_(time), externals_(arguments) {
        T* zeros = arena.take<T>(padded<T>(program.widest) + kPanel);
        std::fill_n(zeros, padded<T>(program.widest) + kPanel, T(0));
        zeros_ = {zeros, 0, 0, Clock::none};
        for (const State& s : program.states) states_.push_back(place_state(s, arena));
        for (size_t i = 0; i < program.values.size(); ++i) places_.push_back(place(int(i), block_steps, arena));
    }

    bool missing(int external) const { return external < 0 || !externals_.pointers[size_t(external)]; }

    // Row b of a batch external at any step, zeros if it is missing.
    T* batch_row(int external, int64_t b) const { return at(batch_place(external), 0, b, 0); }

    T* state_row(int k, int64_t t, int64_t b) const { return at(states_[size_t(k)].kept, t, b, 0); }
    T* carry_row(int k, int64_t t, int64_t b) const { return at(states_[size_t(k)].carry, t, b, 0); }

    // The addresses of a value for some rows of the block that starts at step block_start. Rows side by side at one
    // step are a stride apart: finding each by itself took a sixth of the time of a small call.
    void look_up(int value, const Row* rows, int64_t count, int64_t block_start, T** out) const {
        const Value& v = program_.values[size_t(value)];
        const Place& p = places_[size_t(value)];
        const bool of_state = v.kind == Kind::previous || v.kind == Kind::carry;
        if (neighbours(rows, count) > 1 && !(of_state && (time_.lengths || time_.resets))) {
            for (int64_t i = 0, n; i < count; i += n) {
                n = neighbours(rows + i, count - i);
                auto [row, stride] = of_state ? address_in_state(v, rows[i]) : address_at(p, rows[i], block_start);
                for (int64_t j = i; j < i + n; ++j, row += stride) out[j] = row;
            }
        } else if (of_state) {
            for (int64_t i = 0; i < count; ++i) out[i] = address_in_state(v, rows[i]).row;
        } else {
            for (int64_t i = 0; i < count; ++i) out[i] = address_at(p, rows[i], block_start).row;
        }
    }

    static int64_t block_bytes_per_step(const Program& program, int64_t B) {
        int64_t bytes = 0;
        for (const Value& v : program.values)
            if (v.kind == Kind::block && owns(program, v)) bytes += B * padded<T>(v.width) * int64_t(sizeof(T));
        return bytes;
    }

  private:
    static bool owns(const Program& program, const Value& v) { return &program.values[size_t(v.object)] == &v; }

    enum class Clock { none, step, block, parity };

    struct Place {
        T* base;
        int64_t stride_t, stride_b;
        Clock clock;
    };

    struct StatePlaces {
        Place hx, initial, kept, d_final, carry;
    };

    // A row, and how far away that of the next row of the batch is.
    struct Address {
        T* row;
        int64_t stride;
    };

    static T* at(const Place& p, int64_t t, int64_t b, int64_t column) {
        const int64_t step = p.clock == Clock::none ? 0 : p.clock == Clock::parity ? (t & 1) : t;
        return p.base + step * p.stride_t + b * p.stride_b + column;
    }

    // How many rows from the first on are of one step and follow each other in the batch, as all do without lengths.
    int64_t neighbours(const Row* rows, int64_t count) const {
        auto follows = [&](int64_t i) { return rows[i].t == rows[0].t && rows[i].b == rows[0].b + i; };
        if (!time_.lengths && follows(count - 1)) return count;
        int64_t n = 1;
        while (n < count && follows(n)) ++n;
        return n;
    }

    static Address address_at(const Place& p, Row row, int64_t block_start) {
        return {at(p, row.t - (p.clock == Clock::block ? block_start : 0), row.b, 0), p.stride_b};
    }

    Address address_in_state(const Value& v, Row row) const {
        return v.kind == Kind::previous ? address_of_previous(v, row.t, row.b) : address_of_carry(v, row.t, row.b);
    }

    Place external_place(int external, Clock clock) const {
        if (missing(external)) return zeros_;
        T* base = reinterpret_cast<T*>(externals_.pointers[size_t(external)]);
        return {base, externals_.strides[size_t(2 * external)], externals_.strides[size_t(2 * external + 1)], clock};
    }

    Place batch_place(int external) const {
        Place p = external_place(external, Clock::none);
        if (external >= 0 && program_.externals[size_t(external)].shape == Shape::vector) p.stride_b = 0;
        return p;
    }

    Place two_steps(int64_t width, Arena& arena) const {
        const int64_t stride = padded<T>(width);
        return {arena.take<T>(2 * time_.B * stride), time_.B * stride, stride, Clock::parity};
    }

    StatePlaces place_state(const State& s, Arena& arena) const {
        StatePlaces p{batch_place(s.hx), batch_place(s.initial), zeros_, batch_place(s.d_final), zeros_};
        if (s.kept >= 0)
            p.kept = external_place(s.kept, Clock::step);
        else if (!program_.backward)
            p.kept = two_steps(s.width, arena);
        if (s.carried) p.carry = two_steps(s.width, arena);
        return p;
    }

    Place place(int value, int64_t block_steps, Arena& arena) const {
        const Value& v = program_.values[size_t(value)];
        Place p = zeros_;
        const int64_t stride = padded<T>(v.width), B = time_.B;
        if (v.kind == Kind::temporary || v.kind == Kind::previous || v.kind == Kind::carry) return p;
        if (!owns(program_, v) && (v.kind == Kind::block || v.kind == Kind::line))
            p = places_[size_t(v.object)];
        else if (v.kind == Kind::number) {
            p.base = arena.take<T>(stride + kPanel);
            std::fill_n(p.base, stride + kPanel, T(v.number));
            return p;
        } else if (v.kind == Kind::block)
            p = {arena.take<T>(block_steps * B * stride), B * stride, stride, Clock::block};
        else if (v.kind == Kind::line)
            p = {arena.take<T>(B * stride), 0, stride, Clock::none};
        else if (v.kind == Kind::step)
            p = external_place(v.extra, Clock::step);
        else if (v.kind == Kind::batch || v.kind == Kind::vector)
            p = batch_place(v.extra);
        else
            p = v.kind == Kind::next ? states_[size_t(v.extra)].kept : states_[size_t(v.extra)].carry;
        p.base += v.offset;
        return p;
    }

    Address address_of_previous(const Value& v, int64_t t, int64_t b) const {
        const StatePlaces& s = states_[size_t(v.extra)];
        if (time_.reset(t, b)) return {at(s.initial, 0, b, v.offset), s.initial.stride_b};
        if (t == time_.first(b)) return {at(s.hx, 0, b, v.offset), s.hx.stride_b};
        return {at(s.kept, time_.earlier(t), b, v.offset), s.kept.stride_b};
    }

    Address address_of_carry(const Value& v, int64_t t, int64_t b) const {
        const StatePlaces& s = states_[size_t(v.extra)];
        const int64_t next = time_.later(t);
        if (t == time_.last(b)) return {at(s.d_final, 0, b, v.offset), s.d_final.stride_b};
        if (time_.reset(next, b)) return {at(zeros_, 0, b, v.offset), 0};
        return {at(s.carry, next, b, v.offset), s.carry.stride_b};  // zeros if nothing is carried
    }

    const Program& program_;
    const Timeline& time_;
    const Arguments& externals_;
    Place zeros_;
    std::vector<StatePlaces> states_;
    std::vector<Place> places_;
};

}  // namespace carousel
