// What a loader may return, and what GetOrCreate returns for it.

#ifndef WEAKREF_CACHE_INTERNAL_LOADER_TRAITS_H_
#define WEAKREF_CACHE_INTERNAL_LOADER_TRAITS_H_

#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "weakref/strong_ref.h"

namespace weakref {

class LoadContext;

namespace internal {

template <class T>
struct IsStatusOr : std::false_type {};
template <class T>
struct IsStatusOr<absl::StatusOr<T>> : std::true_type {};

template <class T>
struct StripStatusOr {
  using type = T;
};
template <class T>
struct StripStatusOr<absl::StatusOr<T>> {
  using type = T;
};

// Loaders take (const K&) or (const K&, LoadContext&).
template <class Loader, class K>
decltype(auto) CallLoader(Loader& loader, const K& key, LoadContext& context) {
  if constexpr (std::is_invocable_v<Loader&, const K&, LoadContext&>) {
    return loader(key, context);
  } else {
    static_assert(std::is_invocable_v<Loader&, const K&>,
                  "a loader takes (const K&) or (const K&, LoadContext&)");
    return loader(key);
  }
}

template <class Loader, class K>
using LoaderReturn = decltype(CallLoader(std::declval<Loader&>(), std::declval<const K&>(),
                                         std::declval<LoadContext&>()));

template <class Loader, class K, class V>
struct LoaderTraits {
  using Return = std::remove_cvref_t<LoaderReturn<Loader, K>>;
  static constexpr bool kStatus = IsStatusOr<Return>::value;
  using Product = typename StripStatusOr<Return>::type;
  static constexpr bool kLinked = std::is_same_v<Product, StrongRef<V>>;
  static_assert(kLinked || std::is_constructible_v<V, Product&&> || std::is_same_v<Product, V>,
                "a loader returns V, StrongRef<V>, or absl::StatusOr of either");
  using Result = std::conditional_t<kStatus, absl::StatusOr<StrongRef<V>>, StrongRef<V>>;
};

}  // namespace internal
}  // namespace weakref

#endif  // WEAKREF_CACHE_INTERNAL_LOADER_TRAITS_H_
