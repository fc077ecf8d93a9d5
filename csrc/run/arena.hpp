// Scratch memory of one call. It is borrowed: handed back when the call ends and kept for the next, since fresh pages cost
// more than the arithmetic of a small call. A call that stays for long has memory of its own instead.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace carousel {

class Arena {
  public:
    enum class Memory { borrowed, own };

    explicit Arena(Memory memory);
    ~Arena();
    Arena(const Arena&) = delete;

    // Uninitialised, aligned to cache lines.
    template <class T>
    T* take(int64_t count) {
        return static_cast<T*>(bytes(size_t(count) * sizeof(T)));
    }

    struct Chunk {
        std::byte* data = nullptr;
        size_t size = 0;
    };

  private:
    void* bytes(size_t size);

    const Memory memory_;
    Chunk main_;                 // from the shelf
    std::vector<Chunk> extra_;   // what main_ had no room for
    size_t used_ = 0, wanted_ = 0;
};

}  // namespace carousel
