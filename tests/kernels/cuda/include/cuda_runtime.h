// Stands in for CUDA's header when a .cu file is compiled for the host: see simt.h.
#pragma once
#include "../simt.h"
