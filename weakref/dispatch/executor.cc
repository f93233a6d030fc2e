#include "weakref/dispatch/executor.h"

namespace weakref {

std::shared_ptr<Executor> InlineExecutor::Get() {
  // Never destroyed: objects may die during static destruction. Shares no count, so that a
  // registration costs no read-modify-write on a line that all of them share.
  static InlineExecutor* const executor = new InlineExecutor();
  return std::shared_ptr<Executor>(std::shared_ptr<Executor>(), executor);
}

}  // namespace weakref
