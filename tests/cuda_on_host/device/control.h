// How tests steer the played device.
#pragma once

#include <cstdint>

#include "device_on_host.h"

namespace on_host {

struct Schedule {
  uint64_t seed = 0;   // 0: program order; else every choice is drawn
  int resident = 1;    // blocks that run interleaved
  double preempt = 0;  // chance that a thread pauses before an atomic
};

extern Schedule schedule;

// Remembers the site, and whether a test took it away.
bool is_removed(const Where& where, const char* kind);

void yield_sometimes();

}  // namespace on_host
