// TestSeed(): a seed for this test's random numbers, printed, so that a failure can be repeated
// with
// --test_env=WEAKREF_TEST_SEED=<number>. A new one in each run without it.

#ifndef WEAKREF_TESTS_SUPPORT_TEST_SEED_H_
#define WEAKREF_TESTS_SUPPORT_TEST_SEED_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace weakref::support {

inline uint64_t TestSeed() {
  const char* const given = std::getenv("WEAKREF_TEST_SEED");
  const uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : uint64_t{std::random_device()()};
  std::printf("WEAKREF_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return seed;
}

}  // namespace weakref::support

#endif  // WEAKREF_TESTS_SUPPORT_TEST_SEED_H_
