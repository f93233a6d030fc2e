// A value that tells of its death.

#ifndef WEAKREF_TESTS_SUPPORT_CACHE_PROBE_H_
#define WEAKREF_TESTS_SUPPORT_CACHE_PROBE_H_

#include <atomic>
#include <functional>
#include <utility>

namespace weakref::support {

// Movable; only the last place of the value counts as an object, and runs `on_death`.
class Probe {
 public:
  explicit Probe(int id, std::function<void()> on_death = {})
      : id_(id), on_death_(std::move(on_death)) {
    Live().fetch_add(1);
  }
  Probe(Probe&& other) noexcept
      : id_(std::exchange(other.id_, kMovedFrom)),
        on_death_(std::exchange(other.on_death_, nullptr)) {}
  Probe& operator=(Probe&&) = delete;
  ~Probe() {
    if (id_ == kMovedFrom) return;
    if (on_death_) on_death_();
    Live().fetch_sub(1);
  }

  int id() const { return id_; }
  void set_on_death(std::function<void()> on_death) { on_death_ = std::move(on_death); }

  // Objects of this process that are alive.
  static std::atomic<int>& Live() {
    static std::atomic<int> live{0};
    return live;
  }

 private:
  static constexpr int kMovedFrom = -1;
  int id_;
  std::function<void()> on_death_;
};

}  // namespace weakref::support

#endif  // WEAKREF_TESTS_SUPPORT_CACHE_PROBE_H_
