// A C target needs a source file; there is nothing to compile.
#include "COnnxRuntime.h"
