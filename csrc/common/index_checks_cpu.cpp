#include "index_checks.h"

namespace graphkern::GK_ISA {

IndexFacts index_facts(const void* index, bool is_64bit, int64_t size, int64_t num_rows) {
  IndexFacts facts{};
  dispatch_index(is_64bit, [&](auto tag) {
    using I = typename decltype(tag)::type;
    const I* rows = static_cast<const I*>(index);
    uint64_t outside = 0, stays = 0;
    for (int64_t e = 0; e < size; ++e) outside |= uint64_t(int64_t(rows[e])) >= uint64_t(num_rows);
    for (int64_t e = 1; e < size; ++e) stays |= rows[e] <= rows[e - 1];
    facts = {outside == 0, stays == 0};
  });
  return facts;
}

}  // namespace graphkern::GK_ISA
