#include "run/arena.hpp"

#include <algorithm>
#include <mutex>
#include <new>

namespace carousel {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kMostKept = size_t(1) << 28;
constexpr size_t kPlaces = 4;

Arena::Chunk make_chunk(size_t size) {
    return {static_cast<std::byte*>(::operator new(size, std::align_val_t(kLine))), size};
}

void free_chunk(Arena::Chunk chunk) {
    if (chunk.data) ::operator delete(chunk.data, std::align_val_t(kLine));
}

// Memory between calls, of all programs and threads together.
struct Shelf {
    std::mutex mutex;
    Arena::Chunk chunks[kPlaces];

    // try_lock: after a fork the lock may belong to a thread that is gone, and then the shelf is only not used.
    Arena::Chunk borrow() {
        std::unique_lock<std::mutex> lock(mutex, std::try_to_lock);
        if (!lock) return {};
        auto largest = std::max_element(chunks, chunks + kPlaces, [](auto& a, auto& b) { return a.size < b.size; });
        return std::exchange(*largest, {});
    }

    void give_back(Arena::Chunk chunk) {
        {
            std::unique_lock<std::mutex> lock(mutex, std::try_to_lock);
            auto smallest = std::min_element(chunks, chunks + kPlaces, [](auto& a, auto& b) { return a.size < b.size; });
            if (lock && chunk.size <= kMostKept && chunk.size > smallest->size) std::swap(chunk, *smallest);
        }
        free_chunk(chunk);
    }
};

Shelf& shelf() {
    static Shelf* kept = new Shelf;  // never destroyed: threads may outlive static objects
    return *kept;
}

}  // namespace

Arena::Arena(Memory memory) : memory_(memory), main_(memory == Memory::own ? Chunk{} : shelf().borrow()) {}

Arena::~Arena() {
    for (Chunk& chunk : extra_) free_chunk(chunk);
    if (memory_ == Memory::own) return;
    if (wanted_ > main_.size) {  // the next call of this kind shall find one chunk that is large enough
        free_chunk(main_);
        try {
            main_ = make_chunk(wanted_);
        } catch (const std::bad_alloc&) {
            main_ = {};
        }
    }
    shelf().give_back(main_);
}

void* Arena::bytes(size_t size) {
    size = (size + kLine - 1) / kLine * kLine;
    wanted_ += size;
    if (used_ + size <= main_.size) {
        used_ += size;
        return main_.data + used_ - size;
    }
    extra_.reserve(extra_.size() + 1);
    extra_.push_back(make_chunk(size));
    return extra_.back().data;
}

}  // namespace carousel
