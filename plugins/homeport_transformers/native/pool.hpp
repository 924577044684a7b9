// The threads of one model.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace homeport {

// Runs indexed tasks on a fixed number of threads, the caller's among them.
//
// A step of a model dispatches a few hundred times, microseconds apart, so an idle worker spins for kSpinTime
// before it sleeps. Whoever is awake takes the next index: a worker that sleeps, or that the system has put
// aside, delays nobody.
class ThreadPool {
public:
    // Throws std::system_error when the system refuses a thread.
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int size() const { return static_cast<int>(workers_.size()) + 1; }

    // Calls task(index, thread) for each index below count, and returns when all are done. A task must not
    // throw.
    template <typename Task>
    void run(int count, const Task& task) {
        if (count <= 1 || workers_.empty()) {
            for (int index = 0; index < count; ++index) task(index, 0);
            return;
        }
        dispatch(count, Job{&task, [](const void* context, int index, int thread) {
                                (*static_cast<const Task*>(context))(index, thread);
                            }});
    }

private:
    // Longer than the pause between two dispatches of a step, short beside a step.
    static constexpr auto kSpinTime = std::chrono::microseconds(60);

    struct Job {
        const void* context = nullptr;
        void (*call)(const void* context, int index, int thread) = nullptr;
    };

    void stop();
    void dispatch(int count, Job job);
    void work(int thread);
    bool take_one(int thread);
    bool wait_for_change(uint32_t epoch);

    // Count (upper half) and next index of the current job in one word: what a late thread takes is an index
    // of whichever job is current then, and that job cannot end before it is done.
    static constexpr int kCountShift = 32;

    Job job_;
    alignas(64) std::atomic<uint64_t> ticket_{0};
    alignas(64) std::atomic<int> done_{0};
    alignas(64) std::atomic<uint32_t> epoch_{0};
    std::atomic<bool> stopping_{false};
    std::vector<std::thread> workers_;
};

}  // namespace homeport
