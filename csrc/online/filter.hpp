// The arithmetic of the extended Kalman filter (engine/kalman.hpp), each net of a block in its own lane. Included by the
// kernel files only, inside their anonymous namespaces.

template <class T>
inline Element<T> operator-(const Element<T>& a, const Element<T>& b) {
    Element<T> x;
    for (int k = 0; k < kVectors<T>; ++k) x.v[k] = a.v[k] - b.v[k];
    return x;
}

template <class T>
inline Element<T> operator/(const Element<T>& a, const Element<T>& b) {
    Element<T> x;
    for (int k = 0; k < kVectors<T>; ++k) x.v[k] = a.v[k] / b.v[k];
    return x;
}

// Of one group: kc = K C, (n, m), and s += C' K C, (m, m); K is (n, n), c holds C transposed, (m, n).
template <class T>
void measure(const T* covariance, const T* c, T* kc, T* s, int64_t n, int64_t m) {
    const Block<T> K{const_cast<T*>(covariance)}, C{const_cast<T*>(c)}, KC{kc}, S{s};
    for (int64_t i = 0; i < n; ++i)
        for (int64_t k = 0; k < m; ++k) {
            Element<T> sum = zero_element<T>();
            for (int64_t j = 0; j < n; ++j) sum = times_plus(K.get(i * n + j), C.get(k * n + j), sum);
            sum.store_at(KC[i * m + k]);
        }
    for (int64_t k = 0; k < m; ++k)
        for (int64_t l = 0; l < m; ++l) {
            Element<T> sum = S.get(k * m + l);
            for (int64_t j = 0; j < n; ++j) sum = times_plus(C.get(k * n + j), KC.get(j * m + l), sum);
            sum.store_at(S[k * m + l]);
        }
}

// The inverse, in place, by Gauss and Jordan. Symmetric positive definite as the matrix is, it needs no pivots.
template <class T>
void invert(T* s, int64_t m) {
    const Block<T> S{s};
    Element<T> one = zero_element<T>();
    for (int k = 0; k < kVectors<T>; ++k) one.v[k] = one.v[k] + T(1);
    for (int64_t p = 0; p < m; ++p) {
        const Element<T> pivot = one / S.get(p * m + p);
        one.store_at(S[p * m + p]);
        for (int64_t l = 0; l < m; ++l) (S.get(p * m + l) * pivot).store_at(S[p * m + l]);
        for (int64_t k = 0; k < m; ++k) {
            if (k == p) continue;
            const Element<T> factor = S.get(k * m + p);
            zero_element<T>().store_at(S[k * m + p]);
            for (int64_t l = 0; l < m; ++l)
                (S.get(k * m + l) - factor * S.get(p * m + l)).store_at(S[k * m + l]);
        }
    }
}

// Of one group, for the nets of the mask: G = K C A, w += G e, K = K - G C' K + q I. K stays symmetric to the bit.
// w is made of the weights themselves: those with the numbers `index`.
template <class T>
void correct(T* weights, const int64_t* index, T* covariance, const T* kc, const T* a, const T* error, const T* q,
             int64_t n, int64_t m, T* gain, const T* mask) {
    const Block<T> K{covariance}, KC{const_cast<T*>(kc)}, A{const_cast<T*>(a)}, G{gain}, E{const_cast<T*>(error)};
    const Element<T> where = element(mask), noise = element(q);
    for (int64_t i = 0; i < n; ++i) {
        T* w = weights + index[i] * kNets<T>;
        Element<T> moved = element(w);
        for (int64_t k = 0; k < m; ++k) {
            Element<T> sum = zero_element<T>();
            for (int64_t l = 0; l < m; ++l) sum = times_plus(KC.get(i * m + l), A.get(l * m + k), sum);
            sum.store_at(G[i * m + k]);
            moved = times_plus(sum, E.get(k), moved);
        }
        chosen(where, moved, element(w)).store_at(w);
        for (int64_t j = 0; j <= i; ++j) {
            Element<T> less = zero_element<T>();
            for (int64_t k = 0; k < m; ++k) less = times_plus(G.get(i * m + k), KC.get(j * m + k), less);
            Element<T> left = K.get(i * n + j) - less;
            if (i == j) left = left + noise;
            const Element<T> kept = chosen(where, left, K.get(i * n + j));
            kept.store_at(K[i * n + j]);
            kept.store_at(K[j * n + i]);
        }
    }
}
