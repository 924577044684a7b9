// Memory on cache lines.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace homeport {

// An array that grows and forgets what it held; elements start uninitialised.
template <typename T>
class AlignedBuffer {
public:
    AlignedBuffer() = default;
    explicit AlignedBuffer(size_t count) { reserve(count); }

    void reserve(size_t count) {
        if (count <= count_) return;
        const size_t bytes = (count * sizeof(T) + kLine - 1) / kLine * kLine;
        data_.reset(static_cast<T*>(std::aligned_alloc(kLine, bytes)));
        count_ = data_ ? count : 0;
        if (!data_) throw std::bad_alloc();
    }

    T* data() const { return data_.get(); }
    T* at(size_t index) const { return data_.get() + index; }

private:
    static constexpr size_t kLine = 64;
    struct Free {
        void operator()(T* memory) const { std::free(memory); }
    };
    std::unique_ptr<T, Free> data_;
    size_t count_ = 0;
};

}  // namespace homeport
