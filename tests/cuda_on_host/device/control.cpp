#include "control.h"

#include <map>
#include <string>

#include "runtime.h"

namespace on_host {

Schedule schedule;

namespace {

std::map<std::string, int64_t> sites;  // how often each was passed
std::string removed, text;

}  // namespace

bool is_removed(const Where& where, const char* kind) {
  const std::string name = place(where) + ":" + std::to_string(where.column()) + " " + kind;
  ++sites[name];
  return name == removed;
}

}  // namespace on_host

#define GK_EXPORT [[gnu::visibility("default")]]

extern "C" {

GK_EXPORT void on_host_schedule(uint64_t seed, int resident, double preempt) {
  on_host::schedule = {seed, resident, preempt};
}

// A line for each barrier and atomic that ran so far: "file:line:column kind", a tab and how often.
GK_EXPORT const char* on_host_sites() {
  on_host::text.clear();
  for (const auto& [name, count] : on_host::sites) on_host::text += name + "\t" + std::to_string(count) + "\n";
  return on_host::text.c_str();
}

// Takes one of them away: a barrier lets everybody pass, an atomic is a read and a write. "": none.
GK_EXPORT void on_host_remove(const char* site) { on_host::removed = site; }
}
