#include "weakref/expiry_callback.h"

#include <atomic>
#include <cstdio>

namespace weakref {
namespace {

void WriteToStandardError(std::exception_ptr exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "weakref: an expiry callback threw: %s\n", e.what());
  } catch (...) {
    std::fprintf(stderr, "weakref: an expiry callback threw\n");
  }
}

constinit std::atomic<ExpiryExceptionHandler> handler{&WriteToStandardError};
constinit std::atomic<uint64_t> exceptions{0};

}  // namespace

ExpiryExceptionHandler SetExpiryExceptionHandler(ExpiryExceptionHandler next) {
  // [handler.acq_rel] pairs with [handler.acquire]; carries what the installer set up to the thread
  // that calls the handler; breaks ExpiryCallback.HandlerSeesItsSetUp.
  return handler.exchange(next == nullptr ? &WriteToStandardError : next,
                          std::memory_order_acq_rel);
}

uint64_t ExpiryExceptionCount() {
  return exceptions.load(std::memory_order_relaxed);  // relaxed: a statistic
}

void internal::ReportUserException(std::exception_ptr exception) noexcept {
  exceptions.fetch_add(1, std::memory_order_relaxed);  // relaxed: a statistic
  // [handler.acquire] pairs with [handler.acq_rel]; carries what the installer set up; breaks
  // ExpiryCallback.HandlerSeesItsSetUp.
  handler.load(std::memory_order_acquire)(exception);
}

}  // namespace weakref
