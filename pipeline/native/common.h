// What the files of the library share: C's own headers, the hash of texts, a short name for bytes, and how a function
// is made visible to Python.

#pragma once

#define XXH_INLINE_ALL
#include "arrow/vendored/xxhash/xxhash.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

typedef uint8_t u8;
