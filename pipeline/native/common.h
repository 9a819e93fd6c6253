// This header has what the files about rows share: C's own headers, the hash of texts and a short name for bytes.

#pragma once

#include "api.h"
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include "arrow/vendored/xxhash/xxhash.h"

typedef uint8_t u8;
