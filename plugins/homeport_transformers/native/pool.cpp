// The threads of one model.
#include "pool.hpp"

#include <immintrin.h>

namespace homeport {

ThreadPool::ThreadPool(int threads) {
    try {
        for (int thread = 1; thread < threads; ++thread)
            workers_.emplace_back([this, thread] { work(thread); });
    } catch (...) {
        stop();
        throw;
    }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
    stopping_.store(true);
    epoch_.fetch_add(1);
    epoch_.notify_all();
    for (auto& worker : workers_) worker.join();
}

void ThreadPool::dispatch(int count, Job job) {
    job_ = job;
    done_.store(0, std::memory_order_relaxed);
    ticket_.store(static_cast<uint64_t>(count) << kCountShift, std::memory_order_release);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
    while (take_one(0)) {
    }
    for (int spins = 0; done_.load(std::memory_order_acquire) != count; ++spins) {
        // Whoever still computes may wait for this very core.
        if (spins < 4096) {
            _mm_pause();
        } else {
            std::this_thread::yield();
        }
    }
}

bool ThreadPool::take_one(int thread) {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    do {
        if (static_cast<uint32_t>(ticket) >= ticket >> kCountShift) return false;
    } while (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel));
    job_.call(job_.context, static_cast<int>(static_cast<uint32_t>(ticket)), thread);
    done_.fetch_add(1, std::memory_order_release);
    return true;
}

void ThreadPool::work(int thread) {
    uint32_t epoch = 0;
    while (!stopping_.load(std::memory_order_acquire)) {
        while (take_one(thread)) {
        }
        if (!wait_for_change(epoch)) epoch_.wait(epoch, std::memory_order_acquire);
        epoch = epoch_.load(std::memory_order_acquire);
    }
}

bool ThreadPool::wait_for_change(uint32_t epoch) {
    const auto end = std::chrono::steady_clock::now() + kSpinTime;
    do {
        for (int spin = 0; spin < 32; ++spin) {
            if (epoch_.load(std::memory_order_acquire) != epoch) return true;
            _mm_pause();
        }
    } while (std::chrono::steady_clock::now() < end);
    return false;
}

}  // namespace homeport
