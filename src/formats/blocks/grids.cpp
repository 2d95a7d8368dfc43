#include "formats/blocks/grids.h"

namespace quantlane {

const uint16_t kGridIq1[2048] = {
#include "formats/blocks/grid_iq1.inc"
};
const uint16_t kGridIq2Xxs[256] = {
#include "formats/blocks/grid_iq2_xxs.inc"
};
const uint16_t kGridIq2Xs[512] = {
#include "formats/blocks/grid_iq2_xs.inc"
};
const uint16_t kGridIq2S[1024] = {
#include "formats/blocks/grid_iq2_s.inc"
};
const uint16_t kGridIq3Xxs[256] = {
#include "formats/blocks/grid_iq3_xxs.inc"
};
const uint16_t kGridIq3S[512] = {
#include "formats/blocks/grid_iq3_s.inc"
};

}  // namespace quantlane
