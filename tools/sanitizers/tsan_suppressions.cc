// ThreadSanitizer asks every program for the reports it is to suppress. Part of the program rather
// than a file, so that it works wherever the program runs.

extern "C" const char* __tsan_default_suppressions();

// Abseil 20220623.1 annotates its mutex for ThreadSanitizer, but its waiter, which hands a thread
// its semaphore, is reported all the same. Nothing of ours lives in that namespace.
extern "C" const char* __tsan_default_suppressions() {
  return "race:absl::*::synchronization_internal\n";
}
