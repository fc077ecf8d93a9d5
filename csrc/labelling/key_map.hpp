// From keys of 64 bits to numbers: open addressing, which finds a key in a cache line or two.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace carousel {

class KeyMap {
  public:
    static constexpr int32_t kNone = -1;

    int32_t find(uint64_t key) const {
        if (places_.empty()) return kNone;
        for (size_t i = first(key);; i = (i + 1) & (places_.size() - 1)) {
            if (places_[i].value == kNone) return kNone;
            if (places_[i].key == key) return places_[i].value;
        }
    }

    // The key must be new, the value not kNone.
    void insert(uint64_t key, int32_t value) {
        if (2 * ++count_ > places_.size()) grow();
        put(key, value);
    }

  private:
    struct Place {
        uint64_t key = 0;
        int32_t value = kNone;
    };

    size_t first(uint64_t key) const {
        key *= 0x9e3779b97f4a7c15u;
        return (key ^ key >> 32) & (places_.size() - 1);
    }

    void put(uint64_t key, int32_t value) {
        size_t i = first(key);
        while (places_[i].value != kNone) i = (i + 1) & (places_.size() - 1);
        places_[i] = {key, value};
    }

    void grow() {
        std::vector<Place> old(places_.empty() ? 16 : 2 * places_.size());
        old.swap(places_);
        for (const Place& place : old)
            if (place.value != kNone) put(place.key, place.value);
    }

    std::vector<Place> places_;
    size_t count_ = 0;
};

}  // namespace carousel
