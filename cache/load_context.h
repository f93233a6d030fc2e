// LoadContext: what a loader is told about the load it runs.
//
//   cache.GetOrCreate(key, [](const Key& k, LoadContext& context) { return Read(k,
//   context.stop_token()); });

#ifndef WEAKREF_CACHE_LOAD_CONTEXT_H_
#define WEAKREF_CACHE_LOAD_CONTEXT_H_

#include "cache/internal/load_context.h"  // export

#endif  // WEAKREF_CACHE_LOAD_CONTEXT_H_
