// Operations over whole rows. Sums go over vectors first and then over the lanes, the same way for every row.

// A row, or one number that stands for a whole row.
template <class T>
struct RowView {
    const T* data;
    bool broadcast;

    Vec<T> at(int64_t j, int64_t left) const {
        if (broadcast) return left < kLanes<T> ? load_part_of_one(left) : all(*data);
        return left < kLanes<T> ? load_part(data + j, left) : load(data + j);
    }

    Vec<T> load_part_of_one(int64_t left) const {
        T lanes[kLanes<T>] = {};
        for (int64_t i = 0; i < left; ++i) lanes[i] = *data;
        return load(lanes);
    }
};

// The sum of f(j, left) over the row; f gives zeros in lanes past the end. Four sums side by side, as one addition waits
// for another.
template <class T, class F>
inline T sum_over(int64_t width, F f) {
    constexpr int64_t L = kLanes<T>;
    Vec<T> sum[4] = {};
    int64_t j = 0;
    for (; j + 4 * L <= width; j += 4 * L)
#pragma GCC unroll 4
        for (int64_t u = 0; u < 4; ++u) sum[u] += f(j + u * L, L);
    for (; j < width; j += L) sum[0] += f(j, width - j);
    return add_lanes<T>((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

template <class T, class F>
inline void write_row(T* out, int64_t width, F f) {
    int64_t j = 0;
    for (; j + kLanes<T> <= width; j += kLanes<T>) store<T>(out + j, f(j, kLanes<T>));
    if (j < width) store_part<T>(out + j, f(j, width - j), width - j);
}

template <class T>
inline Vec<T> only_first(Vec<T> v, int64_t left) {
    return left < kLanes<T> ? load_part(reinterpret_cast<const T*>(&v), left) : v;
}

template <class T>
void mean_and_rstd(const T* x, int64_t width, T eps, T& mean, T& rstd) {
    RowView<T> row{x, false};
    mean = sum_over<T>(width, [&](int64_t j, int64_t left) { return row.at(j, left); }) / T(width);
    T m = mean;
    T squares = sum_over<T>(width, [&](int64_t j, int64_t left) {
        Vec<T> centred = only_first<T>(row.at(j, left) - m, left);
        return centred * centred;
    });
    rstd = T(1) / sqrt_of(squares / T(width) + eps);
}

template <class T>
void softmax_row(T* out, const T* x, int64_t width) {
    T highest = x[0];
    for (int64_t j = 1; j < width; ++j) highest = x[j] > highest || x[j] != x[j] ? x[j] : highest;
    write_row<T>(out, width, [&](int64_t j, int64_t left) { return exp_of<T>(RowView<T>{x, false}.at(j, left) - highest); });
    T total = sum_over<T>(width, [&](int64_t j, int64_t left) { return RowView<T>{out, false}.at(j, left); });
    write_row<T>(out, width, [&](int64_t j, int64_t left) { return RowView<T>{out, false}.at(j, left) / total; });
}

template <class T>
void normalize_grad_row(T* out, int64_t width, RowView<T> d, RowView<T> n, T rstd) {
    T mean = sum_over<T>(width, [&](int64_t j, int64_t left) { return d.at(j, left); }) / T(width);
    T along = sum_over<T>(width, [&](int64_t j, int64_t left) { return d.at(j, left) * n.at(j, left); }) / T(width);
    write_row<T>(out, width, [&](int64_t j, int64_t left) {
        return rstd * (d.at(j, left) - mean - n.at(j, left) * along);
    });
}

template <class T>
void softmax_grad_row(T* out, int64_t width, RowView<T> d, RowView<T> s) {
    T along = sum_over<T>(width, [&](int64_t j, int64_t left) { return d.at(j, left) * s.at(j, left); });
    write_row<T>(out, width, [&](int64_t j, int64_t left) { return s.at(j, left) * (d.at(j, left) - along); });
}

// Sums of N neighbours each, of N vectors in a row: evens and odds are added until one vector is left.
template <class T, int N>
inline Vec<T> neighbours(const T* x) {
    if constexpr (N == 1) {
        return load(x);
    } else {
        Vec<T> even, odd;
        deal<T>(neighbours<T, N / 2>(x), neighbours<T, N / 2>(x + N / 2 * kLanes<T>), even, odd);
        return even + odd;
    }
}

template <class T>
void block_sums(T* out, const T* x, int64_t width, int64_t n) {
    int64_t j = 0;
    for (; (n == 2 || n == 4) && j + kLanes<T> <= width; j += kLanes<T>)
        store<T>(out + j, n == 2 ? neighbours<T, 2>(x + j * n) : neighbours<T, 4>(x + j * n));
    for (; j < width; ++j) {
        T sum = 0;
        for (int64_t i = 0; i < n; ++i) sum += x[j * n + i];
        out[j] = sum;
    }
}

template <class T>
void move_columns(const RowCall<T>& call, int64_t r, T* out) {
    const T* x = call.sources[0][r];
    const int64_t width = call.dst_width, n = call.n, from = call.source_widths[0];
    if (call.op == RowOp::expand) {
        // whole vectors, of which the next element's overwrite what is too much
        for (int64_t j = 0; j < from; ++j)
            for (int64_t i = j * n; i < (j + 1) * n; i += kLanes<T>) {
                if (i + kLanes<T> <= width)
                    store<T>(out + i, all(x[j]));
                else
                    store_part<T>(out + i, all(x[j]), width - i);
            }
    } else if (call.op == RowOp::blocksum) {
        block_sums(out, x, width, n);
    } else if (call.op == RowOp::slice) {
        copy_row(out, x + n, width);
    } else if (call.op == RowOp::pad) {
        for (int64_t j = 0; j < n; ++j) out[j] = 0;
        copy_row(out + n, x, from);
        for (int64_t j = n + from; j < width; ++j) out[j] = 0;
    } else {  // concat
        for (int32_t i = 0; i < call.source_count; out += call.source_widths[i++])
            copy_row(out, call.sources[i][r], call.source_widths[i]);
    }
}

template <class T>
void run_row_phase(const RowCall<T>& call) {
    for (int64_t r = 0; r < call.rows; ++r) {
        T* out = call.dst[r];
        const T* x = call.sources[0][r];
        const int64_t width = call.source_widths[0];
        auto view = [&](int i) {
            return RowView<T>{call.sources[i][r], call.source_widths[i] == 1 && call.dst_width > 1};
        };
        T mean, rstd;
        switch (call.op) {
            case RowOp::mean:
            case RowOp::sum:
                out[0] = sum_over<T>(width, [&](int64_t j, int64_t left) { return RowView<T>{x, false}.at(j, left); });
                if (call.op == RowOp::mean) out[0] /= T(width);
                break;
            case RowOp::softmax: softmax_row(out, x, width); break;
            case RowOp::normalize:
                mean_and_rstd(x, width, call.eps, mean, rstd);
                if (call.rstd) call.rstd[r][0] = rstd;
                write_row<T>(out, width, [&](int64_t j, int64_t left) {
                    return (RowView<T>{x, false}.at(j, left) - mean) * rstd;
                });
                break;
            case RowOp::rstd: mean_and_rstd(x, width, call.eps, mean, out[0]); break;
            case RowOp::normalize_grad:
                normalize_grad_row<T>(out, call.dst_width, view(0), view(1), call.sources[2][r][0]);
                break;
            case RowOp::softmax_grad: softmax_grad_row<T>(out, call.dst_width, view(0), view(1)); break;
            default: move_columns(call, r, out);
        }
    }
}
