// Objects that only the cache can construct, as in the chapter on cached objects of the Python
// Cookbook: there, two threads could create two objects for one name. Here they cannot.

#include <cstdio>
#include <string>
#include <utility>

#include "cache/cache_manager.h"

namespace {

class Logger {
 public:
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  const std::string& name() const { return name_; }

 private:
  // The only one who may call the constructor.
  friend class Loggers;
  explicit Logger(std::string name) : name_(std::move(name)) {}

  std::string name_;
};

class Loggers {
 public:
  weakref::StrongRef<Logger> GetObject(const std::string& name) { return manager_.GetObject(name); }
  size_t size() { return manager_.cache().size(); }

 private:
  // Returned as it is made: a Logger is neither copied nor moved.
  static Logger Make(const std::string& name) { return Logger(name); }
  weakref::CacheManager<std::string, Logger> manager_{&Make};
};

}  // namespace

int main() {
  Loggers loggers;
  weakref::StrongRef<Logger> net = loggers.GetObject("net");
  const weakref::StrongRef<Logger> again = loggers.GetObject("net");
  const weakref::StrongRef<Logger> disk = loggers.GetObject("disk");
  const bool one_per_name = net == again && net != disk;
  std::printf("\"%s\" is %s object, %zu in the cache\n", net->name().c_str(),
              one_per_name ? "one" : "more than one", loggers.size());
  return one_per_name && loggers.size() == 2 ? 0 : 1;
}
