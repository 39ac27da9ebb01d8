// ONNX Runtime's official C header, from the machine or from .deps, where scripts/bootstrap puts it. The library is loaded at run time.
#if __has_include("../../../.deps/onnxruntime/include/onnxruntime_c_api.h")
#include "../../../.deps/onnxruntime/include/onnxruntime_c_api.h"
#elif __has_include(<onnxruntime/onnxruntime_c_api.h>)
#include <onnxruntime/onnxruntime_c_api.h>
#elif __has_include(<onnxruntime/core/session/onnxruntime_c_api.h>)
#include <onnxruntime/core/session/onnxruntime_c_api.h>
#elif __has_include(<onnxruntime_c_api.h>)
#include <onnxruntime_c_api.h>
#else
#error "onnxruntime_c_api.h was not found: run scripts/bootstrap"
#endif
