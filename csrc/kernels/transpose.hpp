// Turning squares of L x L elements around, L being the lanes of a vector.

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define CAROUSEL_SHUFFLES
#endif
#endif

#if defined(CAROUSEL_SHUFFLES)
// One of log2(L) rounds: rows i and i + S exchange their blocks of S columns.
template <int S, class V, std::size_t... J>
inline void exchange(V& a, V& b, std::index_sequence<J...>) {
    constexpr int L = sizeof...(J);
    V low = __builtin_shufflevector(a, b, (int(J) & S ? L + int(J) - S : int(J))...);
    V high = __builtin_shufflevector(a, b, (int(J) & S ? L + int(J) : int(J) + S)...);
    a = low;
    b = high;
}

template <class T, int S>
inline void exchange_all(Vec<T> (&rows)[kLanes<T>]) {
    if constexpr (S < kLanes<T>) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes<T>; ++i)
            if (!(i & S)) exchange<S>(rows[i], rows[i + S], std::make_index_sequence<std::size_t(kLanes<T>)>());
        exchange_all<T, 2 * S>(rows);
    }
}

template <class T>
inline void transpose(Vec<T> (&rows)[kLanes<T>]) {
    exchange_all<T, 1>(rows);
}

// Of the elements of a and then b those with even and those with odd numbers.
template <class T, std::size_t... J>
inline void deal(Vec<T> a, Vec<T> b, Vec<T>& even, Vec<T>& odd, std::index_sequence<J...>) {
    even = __builtin_shufflevector(a, b, int(2 * J)...);
    odd = __builtin_shufflevector(a, b, int(2 * J + 1)...);
}

template <class T>
inline void deal(Vec<T> a, Vec<T> b, Vec<T>& even, Vec<T>& odd) {
    deal<T>(a, b, even, odd, std::make_index_sequence<std::size_t(kLanes<T>)>());
}
#else
template <class T>
inline void transpose(Vec<T> (&rows)[kLanes<T>]) {
    for (int i = 0; i < kLanes<T>; ++i)
        for (int j = 0; j < i; ++j) {
            T swapped = rows[i][j];
            rows[i][j] = rows[j][i];
            rows[j][i] = swapped;
        }
}

template <class T>
inline void deal(Vec<T> a, Vec<T> b, Vec<T>& even, Vec<T>& odd) {
    for (int i = 0; i < kLanes<T>; ++i) {
        const Vec<T>& from = 2 * i < kLanes<T> ? a : b;
        even[i] = from[2 * i % kLanes<T>];
        odd[i] = from[2 * i % kLanes<T> + 1];
    }
}
#endif
