#ifndef EXAMPLES_RESOURCE_SERVER_SERVER_H_
#define EXAMPLES_RESOURCE_SERVER_SERVER_H_

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "examples/resource_server/connection.h"
#include "examples/resource_server/connection_set.h"
#include "examples/resource_server/listener.h"
#include "examples/resource_server/log.h"
#include "examples/resource_server/metrics.h"
#include "examples/resource_server/options.h"
#include "examples/resource_server/resource.h"
#include "examples/resource_server/resource_cache.h"

namespace resource_server {

// The whole server: threads that serve connections and never block, a pool that reads files, the
// cache between them.
//
// Thread safety: all functions may be called from any thread; Wait and the destructor not from the
// server's own.
class Server {
 public:
  // Listens already, serves after Start(). Without a `source`, serves the files below options.root.
  // Returns: InvalidArgument for a root or an option that cannot be used; Unavailable when the
  // address cannot be had.
  static absl::StatusOr<std::unique_ptr<Server>> Create(
      const ServerOptions& options, Logger log = Logger(),
      std::unique_ptr<ResourceSource> source = nullptr);

  // Like an unfinished Abort(): cuts off what is in flight. Waits for loads that run on the pool.
  ~Server();

  void Start();

  // SIGTERM and SIGINT call BeginStop(), a second one of them Abort().
  void StopOnSignals();

  // Closes the listening socket and idle connections, lets requests in flight be answered, and cuts
  // off after the drain timeout those that are not.
  void BeginStop();

  // Stops at once.
  void Abort();

  // Waits until the server has stopped. Returns: true if everything in flight was answered. If not,
  // loads may still be running: the destructor would wait for them.
  bool Wait();

  boost::asio::ip::tcp::endpoint endpoint() const { return listener_->endpoint(); }
  const Metrics& metrics() const { return metrics_; }

 private:
  enum class State { kServing, kDraining, kDrained, kAborted };

  Server(const ServerOptions& options, Logger log, std::unique_ptr<ResourceSource> source);

  void AwaitSignal();
  absl::Status Prepare();
  void Serve();
  void DrainConnections();
  void Finish(State state);

  const ServerOptions options_;
  const Logger log_;
  Metrics metrics_;
  std::unique_ptr<ResourceSource> source_;
  ConnectionSet connections_;
  std::unique_ptr<ResourceCache> cache_;
  std::unique_ptr<ConnectionContext> context_;
  // What is declared later is destroyed first: the pool, whose unfinished loads then tell their
  // connections; the operations pending in the context, which own the connections; and only then
  // what connections use.
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::shared_ptr<Listener> listener_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer drain_timer_;
  boost::asio::thread_pool pool_;
  std::vector<std::thread> threads_;

  absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kServing;
};

}  // namespace resource_server

#endif  // EXAMPLES_RESOURCE_SERVER_SERVER_H_
