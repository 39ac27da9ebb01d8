# Asks a serving worker with Triton's own client: every type, as bytes and as JSON, one row and several.
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

NAMES = {"float16": "FP16", "float32": "FP32", "float64": "FP64", "bool": "BOOL", "object": "BYTES"}
client = triton.InferenceServerClient("127.0.0.1:" + sys.argv[1])
lots = np.random.default_rng(27)


def values(kind, rows):
    if kind == "BYTES":
        words = [("w%d é" % number).encode() for number in lots.integers(99, size=rows * 2)]
        return np.array(words, dtype=object).reshape(rows, 2)
    if kind == "BOOL":
        return lots.integers(0, 2, (rows, 2)).astype(bool)
    if kind.startswith("FP"):
        return lots.normal(size=(rows, 2)).astype("float" + kind[2:])
    kind = kind.lower()
    return lots.integers(np.iinfo(kind).min, np.iinfo(kind).max, (rows, 2), dtype=kind, endpoint=True)


assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("types")
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
about = client.get_model_metadata("types")
assert len(about["inputs"]) == 13 and all(tensor["shape"] == [-1, 2] for tensor in about["inputs"]), about
asked = 0
for rows in (1, 2, 50):
    for is_binary in (True, False):
        given, inputs = {}, []
        for tensor in about["inputs"]:
            array = values(tensor["datatype"], rows)
            given[tensor["name"].replace("in", "out", 1)] = array
            wanted = triton.InferInput(tensor["name"], list(array.shape), tensor["datatype"])
            # The client has no JSON for half precision.
            wanted.set_data_from_numpy(array, binary_data=is_binary or tensor["datatype"] == "FP16")
            inputs.append(wanted)
        outputs = [
            triton.InferRequestedOutput(tensor["name"], binary_data=is_binary or tensor["datatype"] == "FP16") for tensor in about["outputs"]
        ]
        for chosen in (outputs, None) if is_binary else (outputs,):
            answer = client.infer("types", inputs, outputs=chosen, request_id="r7")
            assert answer.get_response()["id"] == "r7"
            asked += 1
            for name, array in given.items():
                found = answer.as_numpy(name)
                if array.dtype == object:
                    found = np.array([word if isinstance(word, bytes) else word.encode() for word in found.flat], dtype=object).reshape(found.shape)
                assert found.shape == array.shape and np.array_equal(found.astype(array.dtype), array), (name, rows, is_binary, found, array)
for model, inputs, words in [("nothing", [], "no model"), ("types", [triton.InferInput("in_int8", [1, 3], "INT8")], "takes [any, 2]")]:
    for tensor in inputs:
        tensor.set_data_from_numpy(np.zeros((1, 3), "int8"))
    try:
        client.infer(model, inputs)
        raise AssertionError("accepted")
    except InferenceServerException as refusal:
        assert words in str(refusal) or "is missing" in str(refusal), refusal
assert client.get_inference_statistics("types")["model_stats"][0]["inference_count"] == asked
print("asked", asked)
