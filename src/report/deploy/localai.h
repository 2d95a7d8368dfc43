// LocalAI: what it loads, and how it is told to.
#pragma once
#include "report/deploy/deploy.h"

namespace quantlane {
extern const DeployTarget kLocalAi;
}  // namespace quantlane
