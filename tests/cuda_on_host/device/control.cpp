#include "control.h"

#include <map>
#include <string>
#include <tuple>

#include "runtime.h"

namespace on_host {

Schedule schedule;

namespace {

struct Site {
  std::string name;
  bool is_removed = false;
  int64_t count = 0;
};

// By file, line and column. A header has one address of its name in each file that includes it, and one name.
std::map<std::tuple<const char*, uint32_t, uint32_t>, Site> sites;
std::string removed, text;

}  // namespace

bool is_removed(const Where& where, const char* kind) {
  const auto [place_and_site, is_new] = sites.try_emplace({where.file_name(), where.line(), where.column()});
  Site& site = place_and_site->second;
  if (is_new) {
    site.name = place(where) + ":" + std::to_string(where.column()) + " " + kind;
    site.is_removed = site.name == removed;
  }
  ++site.count;
  return site.is_removed;
}

}  // namespace on_host

#define GK_EXPORT [[gnu::visibility("default")]]

extern "C" {

GK_EXPORT void on_host_schedule(uint64_t seed, int resident, double preempt) {
  on_host::schedule = {seed, resident, preempt};
}

// A line for each barrier and atomic that ran so far: "file:line:column kind", a tab and how often.
GK_EXPORT const char* on_host_sites() {
  std::map<std::string, int64_t> counts;
  for (const auto& [place, site] : on_host::sites) counts[site.name] += site.count;
  on_host::text.clear();
  for (const auto& [name, count] : counts) on_host::text += name + "\t" + std::to_string(count) + "\n";
  return on_host::text.c_str();
}

// Takes one of them away: a barrier lets everybody pass, an atomic is a read and a write. "": none.
GK_EXPORT void on_host_remove(const char* name) {
  on_host::removed = name;
  for (auto& [place, site] : on_host::sites) site.is_removed = site.name == name;
}
}
