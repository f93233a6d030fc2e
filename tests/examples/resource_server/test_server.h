#ifndef TESTS_EXAMPLES_RESOURCE_SERVER_TEST_SERVER_H_
#define TESTS_EXAMPLES_RESOURCE_SERVER_TEST_SERVER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "examples/resource_server/file_source.h"
#include "examples/resource_server/options.h"
#include "examples/resource_server/resource.h"
#include "examples/resource_server/server.h"
#include "tests/examples/resource_server/raw_client.h"
#include "tests/examples/resource_server/temp_dir.h"

namespace resource_server::testing {

// Gates that hold loads, and counts of them. Outlives the source that asks.
class Gate {
 public:
  // From now on loads of `path` wait in the middle of the disk, so to speak.
  void Shut(const std::string& path);
  void Open(const std::string& path);

  // Waits until a load of `path` waits at its shut gate.
  void AwaitLoad(const std::string& path);

  int LoadsOf(const std::string& path);

  // What a load does on its way.
  void Pass(const std::string& path);

 private:
  absl::Mutex mutex_;
  std::set<std::string> shut_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> waiting_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> loads_ ABSL_GUARDED_BY(mutex_);
};

// A FileSource behind a Gate, without root's power to read everything.
class GatedSource : public ResourceSource {
 public:
  GatedSource(FileSource files, Gate& gate) : files_(std::move(files)), gate_(gate) {}

  absl::StatusOr<Resource> Load(const std::string& path) override;
  absl::StatusOr<FileIdentity> Identify(const std::string& path) override;

 private:
  FileSource files_;
  Gate& gate_;
};

// Options under which nothing times out by itself, however slow the machine and its sanitizer.
ServerOptions PatientOptions();

// A server in this process on a port of its own, with a directory of files, gates before them, and
// what it logged.
class TestServer {
 public:
  explicit TestServer(ServerOptions options = PatientOptions());
  ~TestServer();

  uint16_t port() const { return server_->endpoint().port(); }
  Server& server() { return *server_; }
  const TempDir& files() const { return files_; }
  Gate& gate() { return gate_; }

  // The value of a metric without labels, through /metrics.
  uint64_t Metric(const std::string& name) const;

  std::vector<std::string> LogLines();

  // Destroys the server; gates must be open.
  void Destroy() { server_.reset(); }

 private:
  TempDir files_;
  Gate gate_;
  absl::Mutex mutex_;
  std::vector<std::string> log_lines_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Server> server_;
};

// Waits for a condition that nothing signals: the server is to be tested as it is, without hooks
// for its tests. Fails the test after 30 seconds.
void AwaitCondition(std::string_view what, const std::function<bool()>& condition);

}  // namespace resource_server::testing

#endif  // TESTS_EXAMPLES_RESOURCE_SERVER_TEST_SERVER_H_
