// How much work a stress test does: less under a sanitizer, which is 2 to 20 times as slow.

#ifndef WEAKREF_TESTS_SUPPORT_CACHE_SCALE_H_
#define WEAKREF_TESTS_SUPPORT_CACHE_SCALE_H_

namespace weakref::testing {

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif
#else
constexpr bool kThreadSanitizer = false;
#endif

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAddressSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif
#else
constexpr bool kAddressSanitizer = false;
#endif

// `full` iterations, or as many as fit in three times the time under a sanitizer.
constexpr int Scaled(int full) {
  const int scaled = kThreadSanitizer ? full / 10 : kAddressSanitizer ? full / 3 : full;
  return scaled > 0 ? scaled : 1;
}

}  // namespace weakref::testing

#endif  // WEAKREF_TESTS_SUPPORT_CACHE_SCALE_H_
