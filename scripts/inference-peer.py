# What `skerry bench infer` compares itself with: FastAPI with ONNX Runtime under uvicorn, a row of the Open Inference Protocol a request.
import sys

import numpy
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request

model, port = sys.argv[1], int(sys.argv[2])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
others = {given.name: numpy.zeros(1, dtype=numpy.int64) for given in session.get_inputs() if given.name != "features"}
names = [given.name for given in session.get_outputs()]
app = FastAPI()


@app.get("/ready")
async def ready():
    return {"ready": True}


@app.post("/v2/models/bench/infer")
async def infer(request: Request):
    given = (await request.json())["inputs"][0]
    features = numpy.array(given["data"], dtype=numpy.float32).reshape(given["shape"])
    found = session.run(names, {"features": features, **others})
    return {
        "model_name": "bench",
        "outputs": [
            {"name": name, "shape": list(value.shape), "data": value.ravel().tolist()} for name, value in zip(names, found)
        ],
    }


uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)
