// ScaledIterations(n): n, or less where every iteration costs more: a fourth under
// AddressSanitizer, a tenth under ThreadSanitizer, never less than 1.

#ifndef WEAKREF_TESTS_SUPPORT_STRESS_SCALE_H_
#define WEAKREF_TESTS_SUPPORT_STRESS_SCALE_H_

#include <algorithm>

#if defined(__SANITIZE_THREAD__)
#define WEAKREF_TESTS_UNDER_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define WEAKREF_TESTS_UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEAKREF_TESTS_UNDER_TSAN 1
#elif __has_feature(address_sanitizer)
#define WEAKREF_TESTS_UNDER_ASAN 1
#endif
#endif

namespace weakref::support {

#if defined(WEAKREF_TESTS_UNDER_TSAN)
inline constexpr int kStressDivisor = 10;
#elif defined(WEAKREF_TESTS_UNDER_ASAN)
inline constexpr int kStressDivisor = 4;
#else
inline constexpr int kStressDivisor = 1;
#endif

constexpr int ScaledIterations(int n) { return std::max(1, n / kStressDivisor); }

}  // namespace weakref::support

#endif  // WEAKREF_TESTS_SUPPORT_STRESS_SCALE_H_
